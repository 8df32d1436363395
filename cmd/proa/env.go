package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/supervisor"
)

// variable is one setting of ordinary tools, in the order in which it is printed.
type variable struct{ name, value string }

func regionEnv(s supervisor.State, r proa.Region) []variable {
	if r == proa.AWS {
		return []variable{
			{"AWS_ENDPOINT_URL", "http://" + s.Addresses.AWS},
			{"AWS_ACCESS_KEY_ID", s.Credentials.AWSAccessKeyID},
			{"AWS_SECRET_ACCESS_KEY", s.Credentials.AWSSecretAccessKey},
			{"AWS_REGION", "us-east-1"},
			{"AWS_DEFAULT_REGION", "us-east-1"},
		}
	}
	return []variable{
		{"COSMOS_ENDPOINT", "http://" + s.Addresses.Azure + "/"},
		{"COSMOS_KEY", s.Credentials.CosmosKey},
		{"AZURE_STORAGE_CONNECTION_STRING", s.StorageConnection(s.Addresses.Azure)},
	}
}

func (a *app) envCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:       "env aws|azure",
		Short:     "Print what ordinary tools need to reach a cloud, as shell exports",
		Example:   "  eval \"$(proa env aws)\" && aws dynamodb scan --table-name orders\n  proa env azure -o json",
		Args:      oneRegion,
		ValidArgs: []string{"aws", "azure"},
		RunE: func(_ *cobra.Command, args []string) error {
			state, err := supervisor.ReadState(a.dir)
			if err != nil {
				return err
			}
			vars := regionEnv(state, proa.Region(args[0]))
			if a.output == "json" {
				object := map[string]string{}
				for _, v := range vars {
					object[v.name] = v.value
				}
				enc := json.NewEncoder(a.stdout)
				enc.SetIndent("", "  ")
				enc.SetEscapeHTML(false)
				return enc.Encode(object)
			}
			for _, v := range vars {
				fmt.Fprintf(a.stdout, "export %s='%s'\n", v.name, strings.ReplaceAll(v.value, "'", `'\''`))
			}
			return nil
		},
	}
	return a.outputFlag(cmd)
}
