package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
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
