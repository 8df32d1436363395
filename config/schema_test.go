package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/policy"
	"github.com/proa-cloud/proa/datasync/residency"
)

var update = flag.Bool("update", false, "write proa.schema.json")

// node is a JSON Schema whose keys keep their order.
type node = map[string]any

// words are the values of fields that take one of a few, by type and field.
var words = map[string][]string{
	"Traffic.Failback":   {"automatic", "manual", "gradual"},
	"Record.WhenAllDown": {"open", "closed", "fixed"},
	"Record.OnIsolation": {"answer", "silent"},
	"KeyAttribute.Type":  {"S", "N", "B"},
	"TTL.Expire":         {"both", "ignore", "aws", "azure"},
	"Subscriber.To":      {"webhook", "eventbridge", "eventgrid", "lambda", "functions"},
	"Transfer.Algorithm": {"hmac-sha256", "hmac-sha512"},
}

// schemaOf describes a type; docs are the comments of fields by "Type.Field".
func schemaOf(t reflect.Type, docs map[string]string, open map[reflect.Type]bool) node {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[Duration]():
		return node{"type": "string", "pattern": `^-?([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$|^0$`, "examples": []string{"500ms", "2s", "1m30s"}}
	case reflect.TypeFor[proa.Secret]():
		return node{"type": "string"}
	case reflect.TypeFor[proa.Region]():
		return node{"enum": []string{"aws", "azure"}}
	case reflect.TypeFor[residency.Mode]():
		return node{"enum": []residency.Mode{residency.NeverCopied, residency.Masked, residency.Hashed, residency.NeverLogged}}
	case reflect.TypeFor[Policy]():
		return node{"oneOf": []node{
			{"enum": []policy.Kind{policy.LWW, policy.Merge, policy.Counter, policy.Set, policy.Manual}},
			{"type": "object", "properties": node{"prefer": node{"enum": []string{"aws", "azure"}}}, "required": []string{"prefer"}, "additionalProperties": false},
			{"type": "object", "properties": node{"cel": node{"type": "string"}}, "required": []string{"cel"}, "additionalProperties": false},
		}}
	case reflect.TypeFor[Route]():
		return node{"description": "an endpoint's name, or failover, multivalue, weighted, subnet or latency", "type": []string{"string", "object"}}
	case reflect.TypeFor[Formula]():
		return node{"description": "a check's name, or all, any, at_least with of, or not", "type": []string{"string", "object"}}
	}
	switch t.Kind() {
	case reflect.Slice:
		return node{"type": "array", "items": schemaOf(t.Elem(), docs, open)}
	case reflect.Map:
		return node{"type": "object", "additionalProperties": schemaOf(t.Elem(), docs, open)}
	case reflect.Struct:
		return structSchema(t, docs, open)
	case reflect.Bool:
		return node{"type": "boolean"}
	case reflect.Float64:
		return node{"type": "number"}
	case reflect.Int, reflect.Int64, reflect.Uint16, reflect.Uint64:
		return node{"type": "integer"}
	}
	return node{"type": "string"}
}

func structSchema(t reflect.Type, docs map[string]string, open map[reflect.Type]bool) node {
	if open[t] {
		return node{"type": "object"}
	}
	open[t] = true
	defer delete(open, t)
	properties := node{}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue
		}
		s := schemaOf(f.Type, docs, open)
		if list, ok := words[t.Name()+"."+f.Name]; ok {
			s = node{"enum": list}
		}
		if doc := docs[t.Name()+"."+f.Name]; doc != "" {
			s["description"] = doc
		}
		properties[name] = s
	}
	return node{"type": "object", "properties": properties, "additionalProperties": false}
}

// fieldDocs reads the comments of this package's struct fields. A field without its own shares the one of the field above.
func fieldDocs(t *testing.T) map[string]string {
	t.Helper()
	docs := map[string]string{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, readFields(docs))
	}
	return docs
}

// readFields notes the comments of each struct's fields.
func readFields(docs map[string]string) func(ast.Node) bool {
	return func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		s, ok := spec.Type.(*ast.StructType)
		if !ok {
			return true
		}
		last := ""
		for _, f := range s.Fields.List {
			if text := strings.Join(strings.Fields(f.Doc.Text()+" "+f.Comment.Text()), " "); text != "" {
				last = text
			}
			for _, name := range f.Names {
				docs[spec.Name.Name+"."+name.Name] = last
			}
		}
		return true
	}
}

// TestTheSchemaIsTheStruct holds the published schema to the configuration's struct: every field, its type and its comment.
// After a change of the struct: go test ./config -run Schema -update
func TestTheSchemaIsTheStruct(t *testing.T) {
	s := schemaOf(reflect.TypeFor[Config](), fieldDocs(t), map[reflect.Type]bool{})
	s["$schema"], s["title"] = "https://json-schema.org/draft/2020-12/schema", "proa.yaml"
	s["$id"] = "https://proa.cloud/proa.schema.json"
	var want bytes.Buffer
	e := json.NewEncoder(&want)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(s); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"proa.schema.json", filepath.Join("..", "docs", "proa.schema.json")} {
		if *update {
			if err := os.WriteFile(path, want.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%s is not what the struct says (%v): go test ./config -run Schema -update", path, err)
		}
	}
}

func TestTheSchemaRefusesWhatTheFileRefuses(t *testing.T) {
	for _, text := range []string{"zome: x", "traffic: {ttl: soon}", "primary: gcp", "tables: [{name: t, policy: best}]", "traffic: {failback: maybe}", "dns: []"} {
		if err := CheckSchema("t.yaml", []byte(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
		if _, err := Parse("t.yaml", []byte(text)); err == nil {
			t.Errorf("%q was loaded", text)
		}
	}
	for _, text := range []string{
		"", "zone: a.example", "traffic: {ttl: 2s, failback: manual}",
		"tables: [{name: t, hash: {name: id, type: S}, database: d, policy: {prefer: aws}, attributes: {stock: {policy: counter}}}]",
	} {
		if err := CheckSchema("t.yaml", []byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestTheExampleIsValidAndSaysEverySection(t *testing.T) {
	text := Example()
	if err := CheckSchema("proa.yaml", []byte(text)); err != nil {
		t.Error(err)
	}
	c, err := Parse("proa.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if c.Zone == "" || len(c.Tables) == 0 {
		t.Error("it says nothing")
	}
	var missing []string
	for f := range reflect.TypeFor[Config]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if !strings.Contains(text, "\n"+name+":") && !strings.Contains(text, "\n#"+name+":") {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		t.Errorf("sections without a word: %v", missing)
	}
	all := commentedOut.ReplaceAllString(text, "$1")
	if err := CheckSchema("all.yaml", []byte(all)); err != nil {
		t.Errorf("with what is commented out: %v", err)
	}
	if _, err := Parse("all.yaml", []byte(all)); err != nil {
		t.Errorf("with what is commented out: %v", err)
	}
}

// commentedOut is an option that the example leaves out: # and no space before it, or two.
var commentedOut = regexp.MustCompile(`(?m)^#(\S|  )`)
