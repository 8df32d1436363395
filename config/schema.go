package config

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/proa-cloud/proa"
)

//go:embed proa.schema.json
var schema []byte

//go:embed example.yaml
var example string

// Schema is the JSON Schema of proa.yaml, for editors and for CheckSchema.
func Schema() []byte { return bytes.Clone(schema) }

// Example is a commented proa.yaml that is valid and says what the defaults are.
func Example() string { return example }

// CheckSchema holds the file's data against the published schema. Load says more, and where; what this refuses and Load
// takes is an error in the schema, which editors would show to everybody.
func CheckSchema(name string, data []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return fmt.Errorf("read the schema: %w", err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("proa.schema.json", doc); err != nil {
		return fmt.Errorf("read the schema: %w", err)
	}
	compiled, err := c.Compile("proa.schema.json")
	if err != nil {
		return fmt.Errorf("compile the schema: %w", err)
	}
	var value any
	if err := yaml.Unmarshal(data, &value); err != nil {
		return fmt.Errorf("%s: %w: %w", name, proa.ErrInvalidConfig, err)
	}
	if value == nil {
		return nil
	}
	text, err := json.Marshal(value)
	if err == nil {
		value, err = jsonschema.UnmarshalJSON(bytes.NewReader(text))
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %w", name, proa.ErrInvalidConfig, err)
	}
	err = compiled.Validate(value)
	var invalid *jsonschema.ValidationError
	if errors.As(err, &invalid) {
		return fmt.Errorf("%s: %w: by the schema: %s", name, proa.ErrInvalidConfig, strings.Join(complaints(invalid), "; "))
	}
	return err
}

// complaints are the leaves of a validation error.
func complaints(e *jsonschema.ValidationError) []string {
	if len(e.Causes) == 0 {
		at := strings.Join(e.InstanceLocation, ".")
		text := e.Error()
		if _, after, ok := strings.Cut(text, "\n- "); ok {
			text = after
		}
		return []string{strings.TrimSpace(at + " " + text)}
	}
	var list []string
	for _, c := range e.Causes {
		list = append(list, complaints(c)...)
	}
	return list
}
