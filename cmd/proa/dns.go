package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-cloud/proa/traffic/dns"
)

// dnsFlags are the name server's alone.
type dnsFlags struct {
	zone, keys, nsid, certificate, key string
	listen, tls, https                 []string
	rateLimit                          int
}

func (a *app) dnsCommand() *cobra.Command {
	var f dnsFlags
	cmd := &cobra.Command{
		Use:   "dns",
		Short: "Run the name server alone, from a standard zone file",
		Example: "  proa dns --zone db.example.org --listen 127.0.0.1:5300\n" +
			"  proa dns key new example.org --keys keys\n" +
			"  proa dns --zone db.example.org --keys keys",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.zone == "" {
				return usage(fmt.Errorf("%s needs --zone FILE", cmd.CommandPath()))
			}
			return a.serveZone(cmd.Context(), f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.zone, "zone", "", "a master file (RFC 1035 section 5)")
	flags.StringSliceVar(&f.listen, "listen", []string{"127.0.0.1:5300"}, "addresses for UDP and TCP")
	flags.StringSliceVar(&f.tls, "tls", nil, "addresses for DNS over TLS")
	flags.StringSliceVar(&f.https, "https", nil, "addresses for DNS over HTTPS")
	flags.StringVar(&f.certificate, "certificate", "", "certificate file (PEM) for TLS and HTTPS")
	flags.StringVar(&f.key, "private-key", "", "the certificate's private key (PEM)")
	flags.StringVar(&f.keys, "keys", "", "folder with the zone's DNSSEC keys; the zone is signed")
	flags.StringVar(&f.nsid, "nsid", "", "the server's identity (RFC 5001)")
	flags.IntVar(&f.rateLimit, "rate-limit", 0,
		"like replies a second to one network over UDP; 0 is 200, -1 no limit")
	cmd.AddCommand(a.dnsKeyCommand(), a.dnsCheckCommand(), a.dnsValidationCommand())
	return cmd
}

func (a *app) serveZone(ctx context.Context, f dnsFlags) error {
	cfg := dns.Config{
		Listen: f.listen, ListenTLS: f.tls, ListenHTTPS: f.https, NSID: f.nsid,
		RateLimit: dns.RateLimit{PerSecond: f.rateLimit},
		Logger:    slog.New(slog.NewTextHandler(a.stderr, nil)),
	}
	if f.certificate != "" {
		pair := &dns.KeyPair{Certificate: f.certificate, Key: f.key, Clock: time.Now, Logger: cfg.Logger}
		var err error
		if cfg.TLS, err = pair.TLS(); err != nil {
			return err
		}
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	serving := func(serial uint32) {
		fmt.Fprintf(a.stderr, "serving %s (serial %d) on %v (UDP and TCP) until Ctrl-C\n", f.zone, serial, f.listen)
	}
	return dns.ServeZone(ctx, dns.ZoneFile{Path: f.zone, Keys: f.keys, Reload: hup, Serving: serving}, cfg)
}
