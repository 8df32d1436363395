package deploy_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"

	"github.com/hashicorp/hcl/v2"
	tfjson "github.com/hashicorp/terraform-json"

	"github.com/proa-cloud/proa/deploy"
)

// schemas are the providers' own, taken from them with `terraform providers schema -json`. They are not
// part of this repository.
func schemas(t *testing.T) map[string]*tfjson.Schema {
	t.Helper()
	b, err := os.ReadFile("../../shared/terraform-schema/schema.json")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("../shared/terraform-schema/schema.json is not here: the resources are not checked against the providers' schemas")
	}
	if err != nil {
		t.Fatal(err)
	}
	// Of the queues there are no schemas in it: theirs are written from the providers' documentation.
	more, err := os.ReadFile("testdata/schema.json")
	if err != nil {
		t.Fatal(err)
	}
	resources := map[string]*tfjson.Schema{}
	for _, b := range [][]byte{b, more} {
		var all tfjson.ProviderSchemas
		if err := all.UnmarshalJSON(b); err != nil {
			t.Fatal(err)
		}
		for _, p := range all.Schemas {
			for name, s := range p.ResourceSchemas {
				resources[name] = s
			}
		}
	}
	return resources
}

// module is one rendered folder.
type module struct {
	blocks []*hclsyntax.Block
}

func (m module) named(kind string) map[string]*hclsyntax.Block {
	out := map[string]*hclsyntax.Block{}
	for _, b := range m.blocks {
		if b.Type == kind {
			out[strings.Join(b.Labels, ".")] = b
		}
	}
	return out
}

func rendered(t *testing.T) map[string]module {
	t.Helper()
	c, s := valid()
	dir := t.TempDir()
	names, err := deploy.Render(dir, c, s)
	if err != nil {
		t.Fatal(err)
	}
	modules := map[string]module{}
	for _, name := range names {
		if filepath.Ext(name) != ".tf" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := hclwrite.Format(b); string(got) != string(b) {
			t.Errorf("%s is not formatted: terraform fmt -recursive deploy", name)
		}
		f, diags := hclsyntax.ParseConfig(b, name, hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		m := modules[filepath.Dir(name)]
		m.blocks = append(m.blocks, f.Body.(*hclsyntax.Body).Blocks...)
		modules[filepath.Dir(name)] = m
	}
	return modules
}

func TestResourcesFollowTheProvidersSchemas(t *testing.T) {
	known := schemas(t)
	checked := 0
	for _, m := range rendered(t) {
		for name, b := range m.named("resource") {
			s := known[b.Labels[0]]
			if s == nil {
				t.Errorf("%s: the provider has no %s", b.TypeRange, b.Labels[0])
				continue
			}
			checked++
			for _, problem := range against(b.Body, s.Block, nil) {
				t.Errorf("%s: %s", name, problem)
			}
		}
	}
	if checked < 30 {
		t.Errorf("only %d resources were checked", checked)
	}
}

// The check itself must be able to fail.
func TestASpoiledResourceIsFound(t *testing.T) {
	s := schemas(t)["aws_dynamodb_table"]
	for want, text := range map[string]string{
		"has no hashkey":   "name = \"a\"\nhashkey = \"id\"",
		"misses name":      "hash_key = \"id\"",
		"cannot set arn":   "name = \"a\"\narn = \"b\"",
		"has no block ttt": "name = \"a\"\nttt {\n}",
		"attribute misses": "name = \"a\"\nattribute {\nname = \"b\"\n}",
	} {
		f, diags := hclsyntax.ParseConfig([]byte(text), "x.tf", hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		got := strings.Join(against(f.Body.(*hclsyntax.Body), s.Block, nil), "; ")
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// meta are the arguments that any resource takes.
var meta = map[string]bool{"for_each": true, "count": true, "depends_on": true, "provider": true}

// against compares a body with a schema and says what is wrong.
func against(body *hclsyntax.Body, s *tfjson.SchemaBlock, path []string) (problems []string) {
	at := strings.Join(path, ".")
	for name := range body.Attributes {
		a := s.Attributes[name]
		switch {
		case a == nil && s.NestedBlocks[name] == nil && !(len(path) == 0 && meta[name]):
			problems = append(problems, fmt.Sprintf("%s has no %s", at, name))
		case a != nil && a.Computed && !a.Optional && !a.Required:
			problems = append(problems, fmt.Sprintf("%s cannot set %s", at, name))
		}
	}
	for name, a := range s.Attributes {
		if a.Required && body.Attributes[name] == nil {
			problems = append(problems, fmt.Sprintf("%s misses %s", at, name))
		}
	}
	seen := map[string]int{}
	for _, b := range body.Blocks {
		name, inner := b.Type, b.Body
		if name == "dynamic" {
			name = b.Labels[0]
			for _, c := range b.Body.Blocks {
				inner = c.Body
			}
		}
		nested := s.NestedBlocks[name]
		if nested == nil {
			problems = append(problems, fmt.Sprintf("%s has no block %s", at, name))
			continue
		}
		seen[name]++
		problems = append(problems, against(inner, nested.Block, append(path, name))...)
	}
	for name, nested := range s.NestedBlocks {
		if uint64(seen[name]) < nested.MinItems {
			problems = append(problems, fmt.Sprintf("%s misses the block %s", at, name))
		}
		if nested.MaxItems > 0 && uint64(seen[name]) > nested.MaxItems {
			problems = append(problems, fmt.Sprintf("%s has too many blocks %s", at, name))
		}
	}
	return problems
}

// Every reference leads to something that is there, and every call of a module gives just its variables.
func TestReferencesLeadSomewhere(t *testing.T) {
	modules := rendered(t)
	known := schemas(t)
	for dir, m := range modules {
		resources, variables := m.named("resource"), m.named("variable")
		for _, b := range m.blocks {
			_ = hclsyntax.VisitAll(b.Body, func(n hclsyntax.Node) hcl.Diagnostics {
				e, ok := n.(*hclsyntax.ScopeTraversalExpr)
				if !ok {
					return nil
				}
				if problem := leads(e.Traversal, resources, variables, known, modules); problem != "" {
					t.Errorf("%s: %s: %s", dir, e.SrcRange, problem)
				}
				return nil
			})
		}
	}
	for name, call := range modules["."].named("module") {
		want := modules["modules/"+name].named("variable")
		for v := range want {
			if call.Body.Attributes[v] == nil {
				t.Errorf("module %s is not given %s", name, v)
			}
		}
		for a := range call.Body.Attributes {
			if a != "source" && want[a] == nil {
				t.Errorf("module %s has no variable %s", name, a)
			}
		}
	}
}

func leads(
	t hcl.Traversal, resources, variables map[string]*hclsyntax.Block,
	known map[string]*tfjson.Schema, modules map[string]module,
) string {
	second := func(i int) string {
		if len(t) > i {
			if a, ok := t[i].(hcl.TraverseAttr); ok {
				return a.Name
			}
		}
		return ""
	}
	root := t.RootName()
	switch {
	case root == "var" && variables[second(1)] == nil:
		return "there is no variable " + second(1)
	case root == "module" && modules["modules/"+second(1)].named("output")[second(2)] == nil:
		return "module " + second(1) + " has no output " + second(2)
	case known[root] != nil:
		if resources[root+"."+second(1)] == nil {
			return "there is no " + root + "." + second(1)
		}
		name := second(2)
		if name == "" {
			name = second(3) // behind an index
		}
		if name != "" && known[root].Block.Attributes[name] == nil && known[root].Block.NestedBlocks[name] == nil {
			return root + " has no " + name
		}
	}
	return ""
}
