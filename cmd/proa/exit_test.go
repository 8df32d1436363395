package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestExitCodes(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "proa.yaml")
	if err := os.WriteFile(bad, []byte("zone: 'not a zone'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args []string
		want int
	}{
		{[]string{"version"}, exitOK},
		{[]string{"status", "--dir", "/nonexistent"}, exitError},
		{[]string{"heal", "moon"}, exitUsage},
		{[]string{"nonsense"}, exitUsage},
		{[]string{"up", "--config", bad}, exitConfig},
	} {
		var stdout, stderr bytes.Buffer
		if got := run(t.Context(), tc.args, &stdout, &stderr); got != tc.want {
			t.Errorf("proa %v: exit %d, want %d\n%s", tc.args, got, tc.want, stderr.String())
		}
		if tc.want != exitOK && stdout.Len() > 0 {
			t.Errorf("proa %v: a message went to stdout: %s", tc.args, stdout.String())
		}
	}
}
