package objects

import (
	"errors"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/capture"
	"github.com/proa-cloud/proa/datasync/resolve"
)

// begin lets a copy into a side start unless as many are under way as its gate lets through: one more with each
// window of copies that succeed, half as many when a store throttles. end must follow where it has.
func (r *Replicator) begin(region proa.Region) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.beginLocked(region)
}

func (r *Replicator) beginLocked(region proa.Region) bool {
	gate := r.sides[resolve.Index(region)].gate
	if free, _ := gate.Free(r.now()); free == 0 {
		return false
	}
	gate.Start(1)
	return true
}

// beginOr is begin for a worker: a name that must wait is kept aside until a copy has ended, so that the worker
// serves the other side meanwhile.
func (r *Replicator) beginOr(region proa.Region, name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.beginLocked(region) {
		return true
	}
	sd := &r.sides[resolve.Index(region)]
	switch {
	case r.queued[name]: // a worker comes to it again anyway
	case len(sd.held) < workKept:
		sd.held = append(sd.held, name)
		r.queued[name] = true
	default:
		r.missLocked()
	}
	return false
}

// end tells a side's gate how a copy went.
func (r *Replicator) end(region proa.Region, err error) {
	result := capture.Failed
	switch {
	case err == nil:
		result = capture.OK
	case errors.Is(err, proa.ErrThrottled):
		result = capture.Throttled
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sides[resolve.Index(region)].gate.End(r.now(), result)
}

// resumeLocked gives names that were kept aside to the workers, as many as may start. It is called after every copy
// and observation: a name that turns out to need nothing leaves its place to the next one.
func (r *Replicator) resumeLocked() {
	for i := range r.sides {
		sd := &r.sides[i]
		if len(sd.held) == 0 {
			sd.held = nil
			continue
		}
		free, _ := sd.gate.Free(r.now())
		for ; free > 0 && len(sd.held) > 0; free-- {
			select {
			case r.work <- sd.held[0]:
			default:
				delete(r.queued, sd.held[0])
				r.missLocked()
			}
			sd.held = sd.held[1:]
		}
	}
}
