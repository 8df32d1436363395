// Package bundle builds the console's page from its TypeScript sources and the vendored libraries, with esbuild as a library: no
// Node is needed, and the same sources always give the same bytes.
package bundle

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/evanw/esbuild/pkg/api"
)

// Build returns the bundle's files by name. web is the folder of the sources.
func Build(web string) (map[string][]byte, error) {
	web, err := filepath.Abs(web)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	vendor := func(path ...string) string { return filepath.Join(append([]string{web, "vendor"}, path...)...) }
	result := api.Build(api.BuildOptions{
		AbsWorkingDir: web,
		EntryPoints:   []string{"app.tsx", "app.css", "login.css"},
		Outdir:        filepath.Join(web, "dist"),
		Bundle:        true,
		Format:        api.FormatIIFE,
		Target:        api.ES2022,
		JSX:           api.JSXAutomatic, JSXImportSource: "preact",
		Alias: map[string]string{
			"preact":             vendor("preact", "preact.mjs"),
			"preact/hooks":       vendor("preact", "hooks.mjs"),
			"preact/jsx-runtime": vendor("preact", "jsxRuntime.mjs"),
			"uplot":              vendor("uplot", "uPlot.esm.js"),
		},
		MinifyWhitespace: true, MinifyIdentifiers: true, MinifySyntax: true,
		LegalComments: api.LegalCommentsNone, // the licences are served beside the bundle
		Charset:       api.CharsetUTF8,
		LogLevel:      api.LogLevelSilent,
	})
	var errs []error
	for _, m := range append(result.Errors, result.Warnings...) {
		where := ""
		if m.Location != nil {
			where = fmt.Sprintf("%s:%d:%d: ", m.Location.File, m.Location.Line, m.Location.Column)
		}
		errs = append(errs, errors.New(where+m.Text))
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("bundle: %w", errors.Join(errs...))
	}
	files := map[string][]byte{}
	for _, f := range result.OutputFiles {
		files[filepath.Base(f.Path)] = f.Contents
	}
	return files, nil
}
