package local_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/azure/local"
)

func TestAFileIsReadAsItWasWritten(t *testing.T) {
	ttl := int64(-1)
	want := demo(t)
	want.Databases[0].Containers[0].DefaultTTL = &ttl
	want.BlobVersioning = true
	want.APIs[0].Operations = []local.Operation{{Method: "*", URLTemplate: "/*"}}
	want.APIs[0].Timeout = 90 * time.Second
	want.FunctionApps[0].Settings = map[string]string{
		"EMPTY": "", "COLON": "a: b # c", "LINES": "a\nb", "NUMBER": "007", "BOOL": "yes", "NULL": "null",
		"QUOTES": `"'`, "KEY": "AccountKey=abc==;",
	}
	want.MetricAlerts = []local.MetricAlert{{
		Name: "5xx", Metric: "Requests", Dimension: "GatewayResponseCodeCategory=5xx",
		Aggregation: "Total", Operator: "GreaterThan", Threshold: 0.5, Window: time.Minute,
		Every: 5 * time.Second,
	}}
	want.AvailabilityTests = []local.AvailabilityTest{{
		Name: "up", URL: "http://127.0.0.1:1/healthz", Every: 1500 * time.Millisecond,
		Timeout: time.Second, Failures: 3, Successes: 2,
	}}
	path := filepath.Join(t.TempDir(), "new", local.FileName)
	if err := want.Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := local.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	missing, err := local.ReadFile(path + ".none")
	if err != nil || len(missing.FunctionApps) != 0 {
		t.Errorf("a missing file is %+v, %v", missing, err)
	}
}

func TestAFileThatIsWrongSaysWhereAndWhy(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"misspelt":  {"function_aps: []\n", `azure.yaml:1:1: unknown field "function_aps" (did you mean "function_apps"?)`},
		"container": {"blob_containers:\n  - ok-name\n  - Bad_Name\n", `azure.yaml:3:5: blob_containers[1]: "Bad_Name" is not a container name`},
		"key":       {"databases:\n  - name: d\n    containers:\n      - name: c\n        partition_key: [id]\n", `azure.yaml:5:25: databases[0].containers[0].partition_key[0]: "id" is not a path (begin it with /)`},
		"backend":   {"apis:\n  - name: a\n    function_app: x\n", `azure.yaml:3:19: apis[0].function_app: there is no app "x" (name one of function_apps)`},
		"keys":      {"function_apps:\n  - {name: ff, package: p}\napis:\n  - name: a\n    function_app: ff\n    subscription_required: true\n", "apis[0].subscription_keys: no request could hold a key"},
		"operator":  {"metric_alerts:\n  - {name: a, metric: Requests, aggregation: Total, operator: More, window: 1m, every: 1s}\n", `azure.yaml:2:63: metric_alerts[0].operator: "More" is not an operator`},
		"test":      {"availability_tests:\n  - {name: a, url: ftp://x, every: 1s, timeout: 1s, failures: 1, successes: 1}\n", `"ftp://x" is not a URL`},
		"policy":    {"function_apps:\n  - {name: ff, package: p}\napis:\n  - {name: a, function_app: ff, cors: true}\n", `unknown field "cors"`},
		"syntax":    {"databases: [\n", "azure.yaml:1"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), local.FileName)
			write(t, path, tc.text)
			_, err := local.ReadFile(path)
			if !errors.Is(err, proa.ErrInvalidConfig) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("says %v\nwant %s", err, tc.want)
			}
		})
	}
}
