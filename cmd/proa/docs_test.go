package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/drill"
	"github.com/proa-cloud/proa/internal/supervisor"
	"github.com/proa-cloud/proa/node"
)

// TestTheDocsNameEveryCommandAndField holds docs/CLI.md to the code.
func TestTheDocsNameEveryCommandAndField(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "CLI.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range newRoot(new(bytes.Buffer), new(bytes.Buffer)).Commands() {
		if c.Name() != "help" && !bytes.Contains(text, []byte("`proa "+c.Name())) {
			t.Errorf("docs/CLI.md has no word on proa %s", c.Name())
		}
	}
	for _, v := range []any{
		Build{},
		Moved{},
		Order{},
		Diagnosis{},
		Finding{},
		Validity{},
		ConfigDiff{},
		config.Change{},
		supervisor.Fault{},
		drill.Report{},
		drill.ScenarioReport{},
		node.ReloadStatus{},
	} {
		typ := reflect.TypeOf(v)
		for _, f := range reflect.VisibleFields(typ) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name != "" && !bytes.Contains(text, []byte("`"+name+"`")) && !bytes.Contains(text, []byte(`"`+name+`"`)) {
				t.Errorf("docs/CLI.md does not name %s.%s", typ, name)
			}
		}
	}
	_, after, _ := strings.Cut(string(text), "```yaml\n")
	scenario, _, _ := strings.Cut(after, "```")
	if _, err := drill.Parse("docs.yaml", []byte(scenario)); err != nil {
		t.Errorf("the scenario in docs/CLI.md: %v", err)
	}
}

// TestTheCIExamplesRunWhatThereIs parses the examples and checks the command line in them.
func TestTheCIExamplesRunWhatThereIs(t *testing.T) {
	for _, name := range []string{"github-actions.yml", "gitlab-ci.yml"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "examples", "ci", name))
		if err != nil {
			t.Fatal(err)
		}
		var any map[string]any
		if err := yaml.Unmarshal(text, &any); err != nil || len(any) == 0 {
			t.Errorf("%s: %v", name, err)
		}
		_, line, ok := strings.Cut(strings.Join(strings.Fields(string(text)), " "), "bin/proa drill ")
		if !ok {
			t.Fatalf("%s drills nothing", name)
		}
		line, _, _ = strings.Cut(line, " --html drill.html")
		args := strings.Fields(line)
		cmd, _, err := newRoot(new(bytes.Buffer), new(bytes.Buffer)).Find([]string{"drill"})
		if err == nil {
			err = cmd.ParseFlags(args)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, s := range cmd.Flags().Args() {
			if _, err := drill.Load(s); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestTheGuideRunsWhatThereIs checks each command line in the guide and in docs/SECURITY.md: the command and its flags exist.
func TestTheGuideRunsWhatThereIs(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join("..", "..", "docs", "guide", "*.md"))
	if err != nil || len(pages) < 7 {
		t.Fatalf("%d pages: %v", len(pages), err)
	}
	checked := 0
	for _, page := range append(pages, filepath.Join("..", "..", "docs", "SECURITY.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```|`(proa [^`]*)`").FindAllStringSubmatch(string(text), -1) {
			for line := range strings.Lines(block[1] + block[2]) {
				line, _, _ = strings.Cut(line, " #")
				line, _, _ = strings.Cut(line, " > ")
				line = strings.NewReplacer("bin/proa ", "proa ", "\"…\"", "why").Replace(strings.TrimSpace(line))
				args, ok := strings.CutPrefix(line, "proa ")
				if !ok || strings.HasSuffix(line, "…") {
					continue
				}
				checked++
				cmd, rest, err := newRoot(new(bytes.Buffer), new(bytes.Buffer)).Find(strings.Fields(args))
				if err == nil && !slices.Contains(rest, "--help") {
					err = cmd.ParseFlags(rest)
				}
				if err != nil || !cmd.HasParent() {
					t.Errorf("%s: %s: %v", page, line, err)
				}
			}
		}
	}
	if checked < 40 {
		t.Errorf("only %d commands were found", checked)
	}
}
