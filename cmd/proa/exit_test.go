package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-cloud/proa/drill"
)

func TestADrillWritesItsReportHoweverItEnds(t *testing.T) {
	early := errors.New("ended early")
	for name, tc := range map[string]struct {
		passed bool
		err    error
		want   int
	}{
		"passed": {passed: true, want: exitOK}, "missed": {want: exitMissed}, "ended early": {err: early, want: exitError},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			o := drillFlags{junit: filepath.Join(t.TempDir(), "drill.xml")}
			report := &drill.Report{Passed: tc.passed, Scenarios: []drill.ScenarioReport{{Name: "split", Missed: []string{"both sides are equal: 3 of 10 keys differ"}}}}
			a := &app{stdout: &out, stderr: new(bytes.Buffer)}
			err := a.drillVerdict(report, tc.err, o)
			got, coded := exitOK, new(exitCode)
			switch {
			case errors.As(err, &coded):
				got = coded.code
			case err != nil:
				got = exitError
			}
			if got != tc.want {
				t.Errorf("exit %d, want %d: %v", got, tc.want, err)
			}
			if _, err := os.Stat(o.junit); err != nil || !strings.Contains(out.String(), "split") {
				t.Errorf("no report: %v %s", err, out.String())
			}
		})
	}
}

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
