package local_test

import (
	"os"
	"os/exec"
	"testing"
)

// The vendor's Python SDK and command line, against every service.
func TestPythonSDKAndCLI(t *testing.T) {
	if os.Getenv("PROA_PEERS") == "" {
		t.Skip("set PROA_PEERS=1 to run boto3 and the AWS CLI, which must be installed")
	}
	r := start(t, t.TempDir())
	cmd := exec.CommandContext(t.Context(), "python3", "testdata/smoke.py", packageOf(t), r.Gateway)
	cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL=http://"+r.API, "AWS_ACCESS_KEY_ID="+testKey,
		"AWS_SECRET_ACCESS_KEY="+testSecret, "AWS_REGION="+region, "AWS_DEFAULT_REGION="+region,
		"AWS_PAGER=", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}
