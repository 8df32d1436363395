package cosmos

import (
	"os"
	"os/exec"
	"testing"
)

// peer skips the test unless peers beyond Go may be used, and returns the command's path.
func peer(t *testing.T, variable string) string {
	t.Helper()
	if os.Getenv("PROA_PEERS") != "1" {
		t.Skip("set PROA_PEERS=1 to test against peers beyond Go")
	}
	path := os.Getenv(variable)
	if path == "" {
		t.Skipf("set %s to the peer's interpreter", variable)
	}
	return path
}

// TestThePythonSDKWorks runs testdata/python_smoke.py: pip install azure-cosmos==4.17.1 and set PROA_PYTHON to that interpreter.
func TestThePythonSDKWorks(t *testing.T) {
	python := peer(t, "PROA_PYTHON")
	e := newEnv(t, func(c *Config) { c.Ranges = 3 })
	cmd := exec.CommandContext(background(), python, "testdata/python_smoke.py", e.web.URL, testKey)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
