package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/azure"
	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/deploy"
	"github.com/proa-cloud/proa/examples/orders"
)

// Deployment is the outcome of deploy.
type Deployment struct {
	Out   string   `json:"out"`   // the folder; "" where nothing was to be written
	Files []string `json:"files"` // written, relative to it
}

// demoZip is what deploy packages where no function is given.
const demoZip = "orders.zip"

func (a *app) deployCommand() *cobra.Command {
	s := deploy.Settings{PartitionKey: azure.PartitionKeyPath}
	var file, out string
	var check bool
	cmd := &cobra.Command{
		Use:   "deploy",
		Short: "Render Terraform for the two real clouds",
		Long: "Render Terraform modules for AWS and Azure, and their variables, from proa.yaml. No cloud is called: what can be seen\n" +
			"beforehand that a cloud would refuse is listed instead, with exit code 3. Run it again after each change: files of\n" +
			"your own in the folder stay. Secrets are not written; Terraform takes them from TF_VAR_announce_token.",
		Example: "  proa deploy --config proa.yaml --out infra --name orders \\\n    --aws-certificate ARN --azure-certificate ID \\\n" +
			"    --azure-subscription ID --azure-location westeurope \\\n    --publisher-email ops@example.com\n" +
			"  proa deploy --config proa.yaml --check --name orders …",
		Args: noArgs,
		RunE: func(_ *cobra.Command, _ []string) error {
			if file == "" || out == "" && !check {
				return usage(errors.New("deploy needs --config FILE, and --out DIR or --check"))
			}
			cfg, err := config.Load(file)
			if err != nil {
				return err
			}
			return a.deploy(cfg, s, out, check)
		},
	}
	f := cmd.Flags()
	f.StringVar(&file, "config", "", "the proa.yaml")
	f.StringVar(&out, "out", "", "the folder for the files")
	f.BoolVar(&check, "check", false, "look for problems and write nothing")
	f.StringVar(&s.Name, "name", "", "prefix of every name in both clouds")
	f.StringVar(&s.FunctionZip, "function-zip", "", "the function's package; the demo's where left out")
	f.StringVar(&s.AnnounceURL, "announce-url", "", "where functions announce their writes: https://NODE/v1/announce")
	f.StringSliceVar(&s.LeaseURLs, "lease-url", nil, "where functions ask for write leases: https://NODE/v1/lease")
	f.StringVar(&s.AWSCertificate, "aws-certificate", "", "ARN of the zone's certificate in ACM")
	f.StringVar(&s.AzureCertificate, "azure-certificate", "", "Key Vault secret id of the zone's certificate")
	f.StringVar(&s.AzureSubscription, "azure-subscription", "", "id of the subscription")
	f.StringVar(&s.AzureLocation, "azure-location", "", "such as westeurope")
	f.StringVar(&s.PublisherEmail, "publisher-email", "", "address that API Management writes to")
	return a.outputFlag(cmd)
}

func (a *app) deploy(cfg config.Config, s deploy.Settings, out string, check bool) error {
	demo := s.FunctionZip == ""
	if demo {
		s.FunctionZip = "./" + demoZip
	} else {
		path, err := filepath.Abs(s.FunctionZip) // Terraform reads it from the folder
		if err != nil {
			return usage(err)
		}
		if _, err := os.Stat(path); err != nil {
			return usage(fmt.Errorf("--function-zip: %w", err))
		}
		s.FunctionZip = path
	}
	problems := deploy.Check(cfg, s)
	for _, p := range problems {
		a.hint("proa: %s", p.Error())
	}
	if len(problems) > 0 {
		return &exitCode{code: exitConfig}
	}
	d := Deployment{Files: []string{}}
	if !check {
		var err error
		if d.Files, err = deploy.Render(out, cfg, s); err != nil {
			return err
		}
		d.Out = out
		if demo {
			if err := writeDemo(filepath.Join(out, demoZip)); err != nil {
				return err
			}
			d.Files = append(d.Files, demoZip)
		}
	}
	err := a.print(d, func(w io.Writer) {
		if check {
			fmt.Fprintln(w, "nothing was found that a cloud would refuse")
		}
		for _, name := range d.Files {
			fmt.Fprintln(w, filepath.Join(out, name))
		}
	})
	if err == nil && !check {
		a.hint("next: cd %s && terraform init && terraform plan", out)
	}
	return err
}

// writeDemo packages this binary as the function of both clouds, which run it on Linux.
func writeDemo(path string) error {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return fmt.Errorf("this proa is for %s/%s and the clouds run linux/amd64: build the function there and give --function-zip: %w",
			runtime.GOOS, runtime.GOARCH, proa.ErrInvalid)
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	var zip bytes.Buffer
	if err := orders.Zip(&zip, exe); err != nil {
		return err
	}
	return os.WriteFile(path, zip.Bytes(), 0o600)
}
