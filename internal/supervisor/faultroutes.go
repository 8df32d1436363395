package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/proa-cloud/proa"
)

const maxOrder = 4 << 10 // of a fault's JSON

// FaultsReply is GET /v1/faults.
type FaultsReply struct {
	Faults []Fault `json:"faults"`
	// Died tells when the process of a cloud ended that has not been started again.
	Died map[proa.Region]time.Time `json:"died,omitempty"`
}

type (
	// BrownoutOrder is a Brownout with its scope.
	BrownoutOrder struct {
		Brownout
		Scope string `json:"scope,omitempty"`
	}
	// PartitionOrder is a Partition with its scope.
	PartitionOrder struct {
		Partition
		Scope string `json:"scope,omitempty"`
	}
)

// faultRoutes are the control socket's verbs.
func (s *Supervisor) faultRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/faults", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, FaultsReply{s.Faults(), s.died()}, nil)
	})
	mux.HandleFunc("POST /v1/kill/{region}", s.onRegion(func(_ context.Context, r proa.Region) error { return s.Kill(r) }))
	mux.HandleFunc("POST /v1/freeze/{region}", s.onRegion(func(_ context.Context, r proa.Region) error { return s.Freeze(r) }))
	mux.HandleFunc("POST /v1/heal/partition", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, struct{}{}, s.HealPartition())
	})
	mux.HandleFunc("POST /v1/heal/all", func(w http.ResponseWriter, r *http.Request) {
		reply(w, struct{}{}, s.HealAll(r.Context()))
	})
	mux.HandleFunc("POST /v1/heal/{region}", s.onRegion(s.Heal))
	mux.HandleFunc("POST /v1/brownout/{region}", func(w http.ResponseWriter, r *http.Request) {
		order(w, r, func(target proa.Region, o BrownoutOrder) error { return s.Brownout(target, o.Brownout, o.Scope) })
	})
	mux.HandleFunc("POST /v1/partition/{region}", func(w http.ResponseWriter, r *http.Request) {
		var o PartitionOrder
		err := readOrder(r, &o)
		if err == nil {
			err = s.Partition(proa.Region(r.PathValue("region")), o.Partition, o.Scope)
		}
		reply(w, struct{}{}, err)
	})
	mux.HandleFunc("POST /v1/throttle/{region}", func(w http.ResponseWriter, r *http.Request) {
		order(w, r, s.Throttle)
	})
	mux.HandleFunc("POST /v1/skew/{target}", func(w http.ResponseWriter, r *http.Request) {
		var k Skew
		err := readOrder(r, &k)
		if err == nil {
			err = s.Skew(r.PathValue("target"), k)
		}
		reply(w, struct{}{}, err)
	})
}

func (s *Supervisor) died() map[proa.Region]time.Time {
	died := map[proa.Region]time.Time{}
	for r, c := range s.clouds {
		if at := c.diedAt(); !at.IsZero() {
			died[r] = at
		}
	}
	return died
}

func (s *Supervisor) onRegion(do func(context.Context, proa.Region) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := do(r.Context(), proa.Region(r.PathValue("region"))) // a region's name, or a node's where that can be
		reply(w, struct{}{}, err)
	}
}

// order carries out an order about a region that the body describes.
func order[T any](w http.ResponseWriter, r *http.Request, do func(proa.Region, T) error) {
	region, err := proa.ParseRegion(r.PathValue("region"))
	var o T
	if err == nil {
		err = readOrder(r, &o)
	}
	if err == nil {
		err = do(region, o)
	}
	reply(w, struct{}{}, err)
}

// readOrder reads a strict JSON body; an empty one leaves the defaults.
func readOrder(r *http.Request, into any) error {
	d := json.NewDecoder(io.LimitReader(r.Body, maxOrder))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("request body: %w: %w", proa.ErrInvalid, err)
	}
	return nil
}
