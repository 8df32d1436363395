package strictyaml

import (
	"errors"
	"testing"

	"github.com/proa-cloud/proa"
)

type sample struct {
	Name   string `yaml:"name"`
	Inside struct {
		Port int `yaml:"port"`
	} `yaml:"inside"`
	List []struct {
		ID string `yaml:"id"`
	} `yaml:"list"`
}

func TestDecodeErrorsNameThePlaceAndTheCure(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"unknown field", "name: a\ninside:\n  prt: 1\n", `f.yaml:3:3: unknown field "prt" (did you mean "port"?)`},
		{"wrong type", "inside:\n  port: many\n", `f.yaml:2:9: cannot unmarshal string into Go struct field sample.Inside of type int`},
		{"two documents", "name: a\n---\nname: b\n", "f.yaml: more than one document (keep one, without ---)"},
		{"duplicate key", "name: a\nname: b\n", `f.yaml:2:1: mapping key "name" already defined at [1:1]`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var s sample
			_, err := Decode("f.yaml", []byte(tc.in), &s)
			if err == nil || err.Error() != tc.want {
				t.Fatalf("got  %v\nwant %s", err, tc.want)
			}
			if !errors.Is(err, proa.ErrInvalidConfig) {
				t.Error("does not wrap ErrInvalidConfig")
			}
		})
	}
}

func TestErrorfPlacesAPath(t *testing.T) {
	var s sample
	f, err := Decode("f.yaml", []byte("name: a\nlist:\n  - id: x\n  - id: y\n"), &s)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"list[1].id":  "f.yaml:4:9: list[1].id: bad",
		"inside.port": "f.yaml: inside.port: bad",
		"name":        "f.yaml:1:7: name: bad",
	} {
		if got := f.Errorf(path, "", "bad").Error(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestDecodeKeepsDefaultsOfAnEmptyFile(t *testing.T) {
	s := sample{Name: "kept"}
	if _, err := Decode("f.yaml", []byte("# nothing\n"), &s); err != nil || s.Name != "kept" {
		t.Fatalf("%v, %q", err, s.Name)
	}
}
