package node

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/config"
)

// What is valid must start: each change is one with which a node once refused to.
func TestWhatIsValidGetsPastConstruction(t *testing.T) {
	many := "health: {checks: ["
	for i := range 24 {
		many += fmt.Sprintf("{name: c%d, region: aws, tcp: \"127.0.0.1:%d\"},", i, 1000+i)
	}
	for name, tc := range map[string]struct {
		change func(string) string
		refuse string // by Parse or Check
	}{
		"the example":        {},
		"three digits":       {func(s string) string { return strings.Replace(s, "ttl: 2s", "ttl: 600s", 1) }, ""},
		"fall 16":            {func(s string) string { return strings.Replace(s, "fall: 3", "fall: 16", 1) }, ""},
		"fall 20":            {func(s string) string { return strings.Replace(s, "fall: 3", "fall: 20", 1) }, "traffic.fall"},
		"half a second":      {func(s string) string { return strings.Replace(s, "ttl: 2s", "ttl: 1500ms", 1) }, "traffic.ttl"},
		"empty label":        {func(s string) string { return strings.Replace(s, "zone: orders.example.com", "zone: a..b", 1) }, "zone"},
		"no storage":         {func(s string) string { return strings.Replace(s, "    storage_endpoint:", "    #", 1) }, "storage endpoint"},
		"no addresses":       {func(s string) string { return strings.Replace(s, `addresses: ["203.0.113.10"]`, "addresses: []", 1) }, "regions.aws.gateway.addresses"},
		"as many checks":     {func(s string) string { return s + "\n" + many + "]}\n" }, ""},
		"one check too many": {func(s string) string { return s + "\n" + many + "{name: last, region: aws, tcp: \"127.0.0.1:1\"}]}\n" }, "at most 24"},
	} {
		t.Run(name, func(t *testing.T) {
			text := config.Example()
			if tc.change != nil {
				if text = tc.change(text); text == config.Example() {
					t.Fatal("the example has changed: nothing was replaced")
				}
			}
			c, err := config.Parse("proa.yaml", []byte(text))
			if err == nil {
				err = Check(t.Context(), Config{Proa: c, Clock: time.Now})
			}
			switch {
			case tc.refuse == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tc.refuse != "" && (!errors.Is(err, proa.ErrInvalidConfig) || !strings.Contains(err.Error(), tc.refuse)):
				t.Errorf("got %v, want %q", err, tc.refuse)
			}
		})
	}
}
