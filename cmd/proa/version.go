package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by releases: -ldflags "-X main.version=v1.2.3".
var version = "dev"

// Build is what `proa version -o json` prints.
type Build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"` // "" where the build does not know
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisBuild() Build {
	b := Build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Commit = s.Value
			}
		}
	}
	return b
}

func (a *app) versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  proa version\n  proa version -o json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			b := thisBuild()
			return a.print(b, func(w io.Writer) {
				commit := b.Commit
				if commit == "" {
					commit = "unknown commit"
				}
				fmt.Fprintf(w, "proa %s (%s, %s, %s)\n", b.Version, commit, b.Go, b.Platform)
			})
		},
	}
	return a.outputFlag(cmd)
}
