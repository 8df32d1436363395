package config

import (
	"strings"
	"testing"
)

func TestFencingIsChecked(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"tables: [{name: t, database: d, hash: {name: id, type: S}, fencing: lease}]":                                              "",
		"tables: [{name: t, database: d, hash: {name: id, type: S}, fencing: lock}]":                                               "is not known",
		"tables: [{name: t, database: d, hash: {name: id, type: S}, fencing: hook}]":                                               "no hook that revokes",
		"traffic: {fence: {exec: [x]}}\ntables: [{name: t, database: d, hash: {name: id, type: S}, fencing: hook}]":                "",
		"traffic: {fence: {exec: [x], url: http://y}}\ntables: [{name: t, database: d, hash: {name: id, type: S}, fencing: hook}]": "one of both",
		"traffic: {failback: gradual}\ntables: [{name: t, database: d, hash: {name: id, type: S}, fencing: lease}]":                "gradual",
		"traffic: {write_lease: 1ms}\ntables: [{name: t, database: d, hash: {name: id, type: S}, fencing: lease}]":                 "out of range",
	} {
		_, err := Parse("proa.yaml", []byte(text+"\n"))
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
