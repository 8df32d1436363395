package node

import (
	"testing"
	"time"

	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/traffic"
)

func TestADrainLastsAsLongAsAnAliasMayBeKept(t *testing.T) {
	for target, want := range map[string]time.Duration{
		"app.example.com":     10 * time.Minute,
		"api.APP.example.com": 10 * time.Minute,
		"shop.example.org":    10 * time.Minute, // one of the records
		"d111.cloudfront.net": 30 * time.Second, // does not move
		"notapp.example.com":  30 * time.Second,
	} {
		c := config.Default()
		c.Zone, c.Traffic.Drain, c.Traffic.TTL = "app.example.com", true, config.Duration(5*time.Second)
		c.Traffic.Records = []config.Record{{Name: "shop.example.org", TTL: config.Duration(30 * time.Second)}}
		c.DNS.Aliases = []config.Alias{{Name: "example.com", Target: target, TTL: config.Duration(10 * time.Minute)}}
		p := traffic.Default()
		if decisions(&p, c); p.Drain != want {
			t.Errorf("alias to %s: drained for %s, want %s", target, p.Drain, want)
		}
	}
}
