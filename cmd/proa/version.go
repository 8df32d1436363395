package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by releases: -ldflags "-X main.version=v1.2.3".
var version = "dev"

// versionLine says version, commit, Go and platform.
func versionLine() string {
	commit := "unknown commit"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = s.Value
			}
		}
	}
	return fmt.Sprintf("proa %s (%s, %s, %s/%s)", version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
