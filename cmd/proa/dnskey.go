package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic/dns/dnssec"
)

func (a *app) dnsKeyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Make, list and roll over DNSSEC keys",
		Example: "  proa dns key new example.org --keys keys\n  proa dns key list example.org --keys keys\n" +
			"  proa dns key roll example.org --keys keys\n  proa dns key retire example.org --keys keys",
	}
	var dir string
	cmd.PersistentFlags().StringVar(&dir, "keys", "keys", "folder with the keys")
	cmd.AddCommand(a.keyNewCommand(&dir), a.keyListCommand(&dir), a.keyRollCommand(&dir),
		a.keyRetireCommand(&dir))
	return cmd
}

// oneZone checks the argument of the key commands.
func oneZone(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usage(fmt.Errorf("%s takes one argument: the zone", cmd.CommandPath()))
	}
	return nil
}

func (a *app) keyNewCommand(dir *string) *cobra.Command {
	var algorithm string
	cmd := &cobra.Command{
		Use:     "new ZONE",
		Short:   "Make a key that signs the whole zone; print the parent's DS",
		Example: "  proa dns key new example.org --keys /etc/proa/keys",
		Args:    oneZone,
		RunE: func(_ *cobra.Command, args []string) error {
			number, err := keyAlgorithm(algorithm)
			if err != nil {
				return err
			}
			k, err := dnssec.Generate(args[0], number, true, time.Now())
			if err != nil {
				return err
			}
			if err := os.MkdirAll(*dir, 0o700); err != nil {
				return err
			}
			if err := k.Save(*dir); err != nil {
				return err
			}
			return a.printDS(args[0], []dnssec.Key{k})
		},
	}
	cmd.Flags().StringVar(&algorithm, "algorithm", "ecdsa-p256", "ecdsa-p256 or ed25519")
	return a.outputFlag(cmd)
}

func keyAlgorithm(name string) (uint8, error) {
	switch name {
	case "ecdsa-p256":
		return dnssec.ECDSAP256, nil
	case "ed25519":
		return dnssec.Ed25519, nil
	}
	return 0, usage(fmt.Errorf("unknown algorithm %q: want ecdsa-p256 or ed25519", name))
}

func (a *app) printDS(zone string, keys []dnssec.Key) error {
	s, err := dnssec.NewSigner(zone, keys, time.Now(), dnssec.Options{})
	if err != nil {
		return err
	}
	reply := keyReply{DS: []string{}}
	for _, k := range keys {
		reply.Keys = append(reply.Keys, k.Tag)
	}
	reply.DS = append(reply.DS, s.DS()...)
	if a.output == "json" {
		return a.print(reply, nil)
	}
	for _, ds := range reply.DS { // one line each, as a parent's form takes it
		fmt.Fprintln(a.stdout, ds)
	}
	return nil
}

// keyReply is what commands that change keys answer.
type keyReply struct {
	Keys []uint16 `json:"keys"` // tags of the keys that were made or changed
	DS   []string `json:"ds,omitempty"`
	// At is when the change is visible to resolvers.
	At *time.Time `json:"at,omitempty"`
}

// keyRow is a key as it is listed.
type keyRow struct {
	Tag       uint16       `json:"tag"`
	Algorithm uint8        `json:"algorithm"`
	Entry     bool         `json:"entry"`
	Published bool         `json:"published"`
	Active    bool         `json:"active"`
	Times     dnssec.Times `json:"times"`
}

func (a *app) keyListCommand(dir *string) *cobra.Command {
	return a.outputFlag(&cobra.Command{
		Use:     "list ZONE",
		Short:   "List a zone's keys and what they do now",
		Example: "  proa dns key list example.org",
		Args:    oneZone,
		RunE: func(_ *cobra.Command, args []string) error {
			keys, err := dnssec.LoadDir(*dir, args[0])
			if err != nil {
				return err
			}
			now := time.Now()
			rows := []keyRow{}
			for _, k := range keys {
				rows = append(rows, keyRow{
					k.Tag, k.Algorithm, k.Entry, k.Published(now), k.Active(now), k.Times,
				})
			}
			return a.print(rows, func(w io.Writer) {
				fmt.Fprintln(w, "TAG\tALGORITHM\tPUBLISHED\tACTIVE\tFROM\tUNTIL")
				for _, r := range rows {
					fmt.Fprintf(w, "%d\t%d\t%v\t%v\t%s\t%s\n", r.Tag, r.Algorithm, r.Published, r.Active,
						keyTime(r.Times.Activate), keyTime(r.Times.Inactive))
				}
			})
		},
	})
}

func keyTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// rollTiming are the waits of a roll-over with an hour of safety in each.
var rollTiming = dnssec.Timing{
	KeyTTL: time.Hour, DataTTL: 24 * time.Hour, DSTTL: 48 * time.Hour, Propagation: time.Hour,
}

func (a *app) keyRollCommand(dir *string) *cobra.Command {
	var algorithm string
	cmd := &cobra.Command{
		Use:     "roll ZONE",
		Short:   "Make the present key's successor",
		Long:    "Make the present key's successor. CDS asks the parent for its DS once resolvers know the key.",
		Example: "  proa dns key roll example.org",
		Args:    oneZone,
		RunE: func(_ *cobra.Command, args []string) error {
			keys, err := dnssec.LoadDir(*dir, args[0])
			if err != nil {
				return err
			}
			now := time.Now()
			old, err := present(keys, args[0], now)
			if err != nil {
				return err
			}
			number, succeed := old.Algorithm, dnssec.Succeed
			if algorithm != "" {
				if number, err = keyAlgorithm(algorithm); err != nil {
					return err
				}
			}
			if number != old.Algorithm {
				succeed = dnssec.SucceedAlgorithm
			}
			fresh, err := dnssec.Generate(args[0], number, old.Entry, now)
			if err != nil {
				return err
			}
			old, fresh = succeed(old, fresh, now, rollTiming)
			if err := fresh.Save(*dir); err != nil {
				return err
			}
			if err := old.Save(*dir); err != nil {
				return err
			}
			reply := keyReply{Keys: []uint16{fresh.Tag, old.Tag}, At: &fresh.Times.SyncPublish}
			return a.print(reply, func(w io.Writer) {
				fmt.Fprintf(w, "key %d follows key %d at %s; when the parent has its DS: proa dns key retire %s\n",
					fresh.Tag, old.Tag, keyTime(fresh.Times.SyncPublish), args[0])
			})
		},
	}
	cmd.Flags().StringVar(&algorithm, "algorithm", "", "change to ecdsa-p256 or ed25519")
	return a.outputFlag(cmd)
}

// present is the one active key without a successor.
func present(keys []dnssec.Key, zone string, now time.Time) (dnssec.Key, error) {
	var found []dnssec.Key
	for _, k := range keys {
		if k.Active(now) && k.Synced(now) && k.Times.SyncDelete.IsZero() {
			found = append(found, k)
		}
	}
	if len(found) != 1 {
		return dnssec.Key{}, fmt.Errorf("%s has %d present keys, want one: %w", zone, len(found),
			proa.ErrConflict)
	}
	return found[0], nil
}

func (a *app) keyRetireCommand(dir *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "retire ZONE",
		Example: "  proa dns key retire example.org",
		Short:   "End the old key, now that the parent has its successor's DS",
		Args:    oneZone,
		RunE: func(_ *cobra.Command, args []string) error {
			keys, err := dnssec.LoadDir(*dir, args[0])
			if err != nil {
				return err
			}
			now := time.Now()
			fresh, err := present(keys, args[0], now)
			if err != nil {
				return err
			}
			ended := []keyReply{}
			for _, k := range keys {
				if k.Tag == fresh.Tag || !k.Entry || k.Times.SyncDelete.IsZero() || !k.Times.Delete.IsZero() {
					continue
				}
				k = dnssec.Retire(k, fresh, now, rollTiming)
				if err := k.Save(*dir); err != nil {
					return err
				}
				ended = append(ended, keyReply{Keys: []uint16{k.Tag}, At: &k.Times.Inactive})
			}
			return a.print(ended, func(w io.Writer) {
				for _, e := range ended {
					fmt.Fprintf(w, "key %d ends at %s\n", e.Keys[0], keyTime(*e.At))
				}
			})
		},
	}
	return a.outputFlag(cmd)
}
