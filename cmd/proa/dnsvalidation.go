package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/proa-cloud/proa/node"
)

// dnsValidationCommand shows and changes the records that certificate authorities and clouds ask for.
func (a *app) dnsValidationCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validation",
		Short: "Show, put or remove records that prove whose a name is",
		Long: "The records that certificate authorities and clouds ask for: ACME's\n" +
			"challenges (DNS-01), and what dns.validations in proa.yaml lists. All nodes\n" +
			"answer with them at once. Those that are put are kept in memory; what must\n" +
			"stay belongs into proa.yaml.",
		Example: "  proa dns validation\n" +
			"  proa dns validation put _acme-challenge.orders.example.com gfj9Xq...Rg85nM\n" +
			"  proa dns validation remove _acme-challenge.orders.example.com",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var reply node.ValidationsReply
			if err := a.node(cmd, http.MethodGet, "/v1/dns/validations", nil, &reply); err != nil {
				return err
			}
			return a.printValidations(reply)
		},
	}
	cmd.AddCommand(
		a.orderValidation("put NAME VALUE", "Answer with a record on all nodes, beside others at its name",
			"/v1/dns/validations", "  proa dns validation put _acme-challenge.orders.example.com gfj9Xq...Rg85nM\n"+
				"  certbot certonly --manual --preferred-challenges dns -d orders.example.com \\\n"+
				"    --manual-auth-hook 'proa dns validation put \\\n"+
				"      _acme-challenge.$CERTBOT_DOMAIN $CERTBOT_VALIDATION'"),
		a.orderValidation("remove NAME [VALUE]", "Take a record out again, all of the type without VALUE",
			"/v1/dns/validations/remove", "  proa dns validation remove _acme-challenge.orders.example.com"),
	)
	return a.outputFlag(cmd)
}

func (a *app) orderValidation(use, short, path, example string) *cobra.Command {
	order := node.ValidationOrder{By: operator()}
	cmd := &cobra.Command{
		Use: use, Short: short, Example: example,
		Args: func(cmd *cobra.Command, args []string) error {
			if least := 1 + strings.Count(use, " VALUE"); len(args) < least || len(args) > 2 {
				return usage(fmt.Errorf("%s takes %s", cmd.CommandPath(), strings.SplitN(use, " ", 2)[1]))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			order.Name, order.Type = strings.TrimSuffix(args[0], "."), strings.ToUpper(order.Type)
			if len(args) == 2 {
				order.Value = args[1]
			}
			var reply node.ValidationsReply
			if err := a.node(cmd, http.MethodPost, path, order, &reply); err != nil {
				return err
			}
			return a.printValidations(reply)
		},
	}
	cmd.Flags().StringVar(&order.Type, "type", "TXT", "TXT or CNAME")
	return a.outputFlag(cmd)
}

func (a *app) printValidations(reply node.ValidationsReply) error {
	err := a.print(reply, func(w io.Writer) {
		fmt.Fprintln(w, "NAME\tTYPE\tTTL\tFROM\tVALUES")
		for _, v := range reply.Validations {
			from := "order"
			if v.Fixed {
				from = "proa.yaml"
			}
			fmt.Fprintf(w, "%s\t%s\t%ds\t%s\t%s\n", v.Name, v.Type, v.TTLSeconds, from, strings.Join(v.Values, " "))
		}
	})
	if err != nil || len(reply.Missing) == 0 {
		return err
	}
	for _, m := range reply.Missing {
		a.hint("%s did not take it: %s", m.Node, m.Why)
	}
	return &exitCode{code: exitDegraded}
}
