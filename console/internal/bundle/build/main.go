// Command build writes the console's bundle to web/dist. Run it with `go generate ./console`.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/proa-cloud/proa/console/internal/bundle"
)

func main() {
	if err := build("web"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func build(web string) error {
	files, err := bundle.Build(web)
	if err != nil {
		return err
	}
	dist := filepath.Join(web, "dist")
	if err := os.MkdirAll(dist, 0o755); err != nil {
		return err
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dist, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
