package main

import (
	"encoding"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync"
	"github.com/proa-cloud/proa/drill"
	"github.com/proa-cloud/proa/internal/supervisor"
	"github.com/proa-cloud/proa/node"
	"github.com/proa-cloud/proa/traffic"
	"github.com/proa-cloud/proa/traffic/cluster"
	"github.com/proa-cloud/proa/traffic/delegation"
)

// fieldsFile lists every field of every command's JSON.
const fieldsFile = "../../docs/cli-json.txt"

var update = flag.Bool("update", false, "write "+fieldsFile+" anew")

// printed is what each command prints with -o json. Those that print the same stand together.
func printed() map[string]any {
	return map[string]any{
		"status, top": supervisor.Status{}, "nodes": cluster.View{}, "nodes force": node.ForceOrder{}, "node cert": cluster.FilesIn(""),
		"console": node.ConsoleLink{}, "doctor": Diagnosis{}, "explain, plan": traffic.Explanation{}, "explain answer": node.Answer{},
		"plan dry-run": node.DryRunReply{}, "plan history": []traffic.PlanChanged{}, "plan hand-over": proa.Plan{},
		"switchover, failback": Moved{}, "hold, release": Order{}, "cost": datasync.Cost{},
		"verify": node.VerifyReply{}, "diff": node.DiffReply{}, "conflicts": node.ConflictsReply{}, "conflicts show": node.Conflict{},
		"conflicts replay": node.ReplayReply{}, "restore, conflicts settle": datasync.Restored{},
		"quarantine": node.QuarantineReply{}, "quarantine show": datasync.Quarantined{}, "quarantine retry, quarantine drop, events redeliver": node.Count{},
		"backfill": node.ScansReply{}, "events": node.SubscribersReply{}, "events dead": node.DeadReply{},
		"validate": Validity{}, "validate --data": datasync.Preflight{}, "config diff": ConfigDiff{}, "config status": node.ReloadStatus{},
		"kill, freeze, brownout, partition, skew, throttle, heal": supervisor.FaultsReply{},
		"drill": drill.Report{}, "drill list": []scenarioRow{}, "deploy": Deployment{},
		"dns check": delegation.Report{}, "dns validation": node.ValidationsReply{}, "dns key": keyReply{}, "dns key list": []keyRow{}, "version": thisBuild(),
	}
}

// TestNoFieldOfTheJSONDisappears holds what scripts read: a field may be added (run with -update), not taken away, renamed or retyped.
func TestNoFieldOfTheJSONDisappears(t *testing.T) {
	lists := printed()
	var now []string
	for _, command := range slices.Sorted(maps.Keys(lists)) {
		fields := map[string]bool{}
		fieldsOf(reflect.TypeOf(lists[command]), "", nil, fields)
		now = append(now, "# "+command)
		now = append(now, slices.Sorted(maps.Keys(fields))...)
		now = append(now, "")
	}
	text := strings.Join(now, "\n")
	was, err := os.ReadFile(fieldsFile)
	if err != nil && !*update {
		t.Fatal(err)
	}
	have := map[string]bool{}
	command := ""
	for _, line := range now {
		if strings.HasPrefix(line, "# ") {
			command = line
		}
		have[command+"\n"+line] = true
	}
	for line := range strings.Lines(string(was)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "# ") {
			command = line
		}
		if line != "" && !have[command+"\n"+line] {
			t.Errorf("%s: %s has gone: scripts may read it", strings.TrimPrefix(command, "# "), line)
		}
	}
	switch {
	case *update && !t.Failed():
		if err := os.WriteFile(fieldsFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	case text != string(was) && !t.Failed(): // a new field breaks nobody
		t.Logf("%s lacks new fields: go test ./cmd/proa -run Disappears -update", fieldsFile)
	}
}

// fieldsOf adds the paths of a type's fields as encoding/json writes them, with their kinds.
func fieldsOf(t reflect.Type, path string, within []reflect.Type, out map[string]bool) {
	null := ""
	for t.Kind() == reflect.Pointer {
		t, null = t.Elem(), " or null"
	}
	leaf := func(kind string) { out[strings.TrimPrefix(path, ".")+" "+kind+null] = true }
	switch {
	case t == reflect.TypeFor[time.Time]():
		leaf("time")
		return
	case t.Implements(reflect.TypeFor[json.Marshaler]()) || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Marshaler]()):
		leaf("value")
		return
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		leaf("string")
		return
	case slices.Contains(within, t):
		leaf("as above")
		return
	}
	within = append(slices.Clone(within), t)
	switch t.Kind() {
	case reflect.Struct:
		structFields(t, path, within, out)
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			leaf("base64")
			return
		}
		fieldsOf(t.Elem(), path+"[]", within, out)
	case reflect.Map:
		fieldsOf(t.Elem(), path+".*", within, out)
	case reflect.String:
		leaf("string")
	case reflect.Bool:
		leaf("boolean")
	case reflect.Interface:
		leaf("value")
	default:
		leaf("number")
	}
}

func structFields(t reflect.Type, path string, within []reflect.Type, out map[string]bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
		case f.Anonymous && name == "":
			fieldsOf(f.Type, path, within, out)
		case name == "":
			fieldsOf(f.Type, fmt.Sprintf("%s.%s", path, f.Name), within, out)
		default:
			fieldsOf(f.Type, path+"."+name, within, out)
		}
	}
}
