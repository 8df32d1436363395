package config

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
)

func TestDiffNamesEachChangeAndNoSecret(t *testing.T) {
	a, b := Default(), Default()
	if d := Diff(a, b); len(d) != 0 {
		t.Fatalf("equal ones differ: %+v", d)
	}
	a.Node.ControlToken, b.Node.ControlToken = proa.NewSecret("hunter2"), proa.NewSecret("hunter3")
	b.Regions.Azure.CosmosKey = proa.NewSecret("hunter4")
	b.Traffic.HoldDown, b.Traffic.TTL = Duration(time.Minute), Duration(30*time.Second)
	b.Primary = proa.Azure
	b.Tables = append(b.Tables, Table{Name: "carts", Database: "proa"})
	b.Tables[0].Attributes = map[string]Attribute{"stock": {}}
	b.Events = []Subscriber{{Name: "x", Secret: proa.NewSecret("hunter5")}}
	got := map[string]Change{}
	for _, c := range Diff(a, b) {
		got[c.Path] = c
	}
	for path, isLive := range map[string]bool{
		"primary": true, "node.control_token": false, "regions.azure.cosmos_key": false, "traffic.ttl": false, "traffic.hold_down": true,
		"tables[1]": false, "tables[0].attributes.stock": false, "events[0]": false,
	} {
		c, ok := got[path]
		if !ok || c.Live != isLive {
			t.Errorf("%s: %+v, %v", path, c, ok)
		}
		delete(got, path)
	}
	if len(got) > 0 {
		t.Errorf("also: %+v", got)
	}
	if text := fmt.Sprint(Diff(a, b)); strings.Contains(text, "hunter") {
		t.Errorf("a secret is shown: %s", text)
	}
	if c := Diff(a, b)[0]; c.Path != "primary" || c.Old != "aws" || c.New != "azure" {
		t.Errorf("first: %+v", c)
	}
}
