package objects

import (
	"context"
	"io"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// Bucket configures one replicated bucket. Zero values take the defaults that the fields name.
type Bucket struct {
	Name  string
	Sides map[proa.Region]cloud.Bucket // both regions
	// Versions read what a bucket has kept of an object, per side; a side without has kept nothing by version.
	Versions map[proa.Region]Versions
	// Events are the queues of the buckets' notices, per side; a side without one is swept without end.
	Events map[proa.Region]cloud.ObjectEvents
	// SweepMin and SweepMax bound the pause between two sweeps of a side whose notices cannot be relied
	// on: shortest while objects change, longest when none do (250 ms, 800 ms). A sweep that takes long
	// is followed by a pause as long as itself.
	SweepMin, SweepMax time.Duration
	// SweepEvery is how long one sweep takes, spread evenly, of a side whose notices arrive (10 min).
	SweepEvery time.Duration
	// BeatEvery is how often a marker is written to each side that has a queue: notices are relied on
	// while those of the markers come back within three times as long (30 s).
	BeatEvery time.Duration
	// Poll is the longest wait for notices in one request, and so the granularity of what is known of
	// an idle side, which is then known to be equal as of 0.5 to 1 s ago (500 ms).
	Poll time.Duration
	// PollIdle takes Poll's place once a side has told of nothing for IdleAfter (1 s, 1 min): requests cost.
	PollIdle, IdleAfter time.Duration

	Workers int // copies at a time, both sides together (32)
	Page    int // objects of one listing (1,000)
	// MaxSize bounds what is replicated; larger objects are reported (48.8 TiB: S3's 10,000 parts of
	// 5 GiB).
	MaxSize int64
	// Objects of up to Small bytes are read at once, whole, in the place of being described (256 KiB).
	Small int64
	// Objects larger than PartFrom bytes cross in parts of PartSize or, where that makes more than
	// 10,000, of as much as it takes (16 MiB, 8 MiB). Parts of PartSize are held in memory, PartBuffers
	// of them at a time (8); larger ones are streamed.
	PartFrom, PartSize int64
	PartBuffers        int
	CopyTimeout        time.Duration // of one object, or of one part of it (10 min)
	CallTimeout        time.Duration // of one listing, Head or delete (5 s)
	// bounds the back-off of one object (2 s) and of a side that is away (1 s)
	RetryMax    time.Duration
	Grace       time.Duration // how long a delete is remembered (8 days)
	InFlightMax time.Duration // how late a write that was given up may land (20 min)
	KeepAge     time.Duration // of losers kept in the bucket (90 days)
	// More than HoldObjects objects (100), and more than HoldPercent of all (5), that are missing within a minute or
	// one sweep without notices of their deletes stay at the other side until somebody says what happened; so does the
	// whole of a bucket of 10 and more. Negative HoldObjects: never.
	HoldObjects, HoldPercent int
	// age of the last sweep after which the lag is unknown (5 s, or three sweeps)
	Stale time.Duration
}

// Versions is a bucket that keeps what was written over or deleted.
type Versions interface {
	// GetVersion opens one version; proa.ErrNotFound when it is no more there.
	GetVersion(ctx context.Context, name, version string) (cloud.ObjectInfo, io.ReadCloser, error)
}

func (b Bucket) withDefaults() Bucket {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&b.SweepMin, 250*time.Millisecond)
	set(&b.SweepMax, 800*time.Millisecond)
	set(&b.SweepEvery, 10*time.Minute)
	set(&b.BeatEvery, 30*time.Second)
	set(&b.Poll, 500*time.Millisecond)
	set(&b.PollIdle, max(time.Second, b.Poll))
	set(&b.IdleAfter, time.Minute)
	set(&b.CopyTimeout, 10*time.Minute)
	set(&b.CallTimeout, 5*time.Second)
	set(&b.RetryMax, 2*time.Second)
	set(&b.Grace, 8*24*time.Hour)
	set(&b.InFlightMax, 20*time.Minute)
	set(&b.KeepAge, 90*24*time.Hour)
	set(&b.Stale, 5*time.Second)
	if b.HoldObjects == 0 {
		b.HoldObjects = 100
	}
	if b.HoldPercent <= 0 {
		b.HoldPercent = 5
	}
	if b.Workers <= 0 {
		b.Workers = 32
	}
	if b.Page <= 0 {
		b.Page = 1000
	}
	size := func(n *int64, v int64) {
		if *n <= 0 {
			*n = v
		}
	}
	size(&b.MaxSize, cloud.MaxParts*(5<<30))
	size(&b.Small, 256<<10)
	size(&b.PartFrom, 16<<20)
	size(&b.PartSize, 8<<20)
	if b.PartBuffers <= 0 {
		b.PartBuffers = 8
	}
	return b
}
