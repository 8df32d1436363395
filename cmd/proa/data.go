package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/node"
)

func (a *app) verifyCommand() *cobra.Command {
	var deep, repair bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Compare both sides; exit code 4 when they differ",
		Long: "Compare both sides by the digests that data sync keeps while it works: milliseconds, whatever the number of keys.\n" +
			"They cannot see what a change feed has missed; --deep reads both sides completely, in bounded memory.",
		Example: "  proa verify\n  proa verify --deep\n  proa verify --deep --repair",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if repair && !deep {
				return usage(errors.New("--repair needs --deep: only a complete comparison may repair"))
			}
			c, err := a.dial()
			if err != nil {
				return err
			}
			path := "/v1/verify"
			if deep {
				a.begin("reading both sides")
				path += "?deep=1"
			}
			if repair {
				path += "&repair=1"
			}
			var v node.VerifyReply
			if err := c.Node(cmd.Context(), http.MethodPost, path, nil, &v); err != nil {
				return err
			}
			if err := a.print(v, func(w io.Writer) { writeVerify(w, v) }); err != nil {
				return err
			}
			if v.Differences > 0 {
				return &exitCode{code: exitDegraded}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&deep, "deep", false, "read both sides completely")
	cmd.Flags().BoolVar(&repair, "repair", false, "have what differs written again, the newer version to both sides")
	return a.outputFlag(cmd)
}

func writeVerify(w io.Writer, v node.VerifyReply) {
	fmt.Fprintf(w, "%d differences of %d keys, through %s (%d in flight, took %.1f s)\n",
		v.Differences, v.Keys, clock(v.Through), v.InFlight, v.Took)
	if v.LastScan != nil {
		fmt.Fprintf(w, "both sides were last read completely at %s\n", v.LastScan.Local().Format("2006-01-02 15:04:05"))
	}
	if len(v.First) == 0 {
		return
	}
	fmt.Fprintln(w, "\nKEY\tHOW\tDETAIL")
	for _, d := range v.First {
		fmt.Fprintf(w, "%s\t%s\t%s\n", keyText(d.Table, d.Key, d.Bucket, d.Object), d.Kind, d.Detail)
	}
}

// keyText names an item or an object for people.
func keyText(table string, key proa.Item, bucket, object string) string {
	if bucket != "" {
		return bucket + "/" + object
	}
	parts := []string{table}
	for _, name := range slices.Sorted(maps.Keys(key)) {
		parts = append(parts, key[name].Str)
	}
	return strings.Join(parts, "/")
}

func (a *app) diffCommand() *cobra.Command {
	var region string
	var limit int
	cmd := &cobra.Command{
		Use:     "diff",
		Short:   "List acknowledged writes that the other region does not have",
		Example: "  proa diff\n  proa diff --region aws -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			regions := []string{region}
			if region == "" {
				regions = []string{string(proa.AWS), string(proa.Azure)}
			} else if _, err := proa.ParseRegion(region); err != nil {
				return usage(err)
			}
			c, err := a.dial()
			if err != nil {
				return err
			}
			all := node.DiffReply{Region: proa.Region(region)}
			for _, r := range regions {
				q := url.Values{"region": {r}, "limit": {strconv.Itoa(limit)}}
				var one node.DiffReply
				if err := c.Node(cmd.Context(), http.MethodGet, "/v1/diff?"+q.Encode(), nil, &one); err != nil {
					return err
				}
				all.Total += one.Total
				all.Unreplicated = append(all.Unreplicated, one.Unreplicated...)
				all.Incomplete = append(all.Incomplete, one.Incomplete...)
			}
			return a.print(all, func(w io.Writer) { writeDiff(w, all) })
		},
	}
	cmd.Flags().StringVar(&region, "region", "", "aws or azure; both when left out")
	cmd.Flags().IntVar(&limit, "limit", 10000, "the most that are listed for each region")
	return a.outputFlag(cmd)
}

func writeDiff(w io.Writer, d node.DiffReply) {
	fmt.Fprintf(w, "%d acknowledged writes are not on the other side\n", d.Total)
	for _, u := range d.Incomplete {
		fmt.Fprintf(w, "the node was away from %s to %s: writes of that time that were not captured are not listed\n",
			clock(u.From), clock(u.To))
	}
	if len(d.Unreplicated) == 0 {
		return
	}
	fmt.Fprintln(w, "\nKEY\tWRITTEN IN\tAT\tKNOWN\tREASON")
	for _, u := range d.Unreplicated {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", keyText(u.Table, u.Key, u.Bucket, u.Object), u.Region, clock(u.At), u.Known, u.Reason)
	}
}
