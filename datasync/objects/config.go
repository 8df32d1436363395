package objects

import (
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// Bucket configures one replicated bucket. Zero values take the defaults that the fields name.
type Bucket struct {
	Name  string
	Sides map[proa.Region]cloud.Bucket // both regions
	// SweepMin and SweepMax bound the pause between two sweeps of a side: shortest while objects
	// change, longest when none do (250 ms, 800 ms). A sweep that takes long is followed by a pause
	// as long as itself.
	SweepMin, SweepMax time.Duration
	Workers            int           // copies at a time, both sides together (8)
	Page               int           // objects of one listing (1,000)
	MaxSize            int64         // larger objects are not replicated but reported (5 GiB)
	CopyTimeout        time.Duration // of one object (10 min)
	CallTimeout        time.Duration // of one listing, Head or delete (5 s)
	// bounds the back-off of one object (2 s) and of a side that is away (1 s)
	RetryMax    time.Duration
	Grace       time.Duration // how long a delete is remembered (8 days)
	InFlightMax time.Duration // how late a write that was given up may land (20 min)
	KeepAge     time.Duration // of losers kept in the bucket (90 days)
	// age of the last sweep after which the lag is unknown (5 s, or three sweeps)
	Stale time.Duration
}

func (b Bucket) withDefaults() Bucket {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&b.SweepMin, 250*time.Millisecond)
	set(&b.SweepMax, 800*time.Millisecond)
	set(&b.CopyTimeout, 10*time.Minute)
	set(&b.CallTimeout, 5*time.Second)
	set(&b.RetryMax, 2*time.Second)
	set(&b.Grace, 8*24*time.Hour)
	set(&b.InFlightMax, 20*time.Minute)
	set(&b.KeepAge, 90*24*time.Hour)
	set(&b.Stale, 5*time.Second)
	if b.Workers <= 0 {
		b.Workers = 8
	}
	if b.Page <= 0 {
		b.Page = 1000
	}
	if b.MaxSize <= 0 {
		b.MaxSize = 5 << 30
	}
	return b
}
