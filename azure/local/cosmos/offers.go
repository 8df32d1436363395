package cosmos

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/proa-cloud/proa/azure/local/cosmos/value"
	"github.com/proa-cloud/proa/internal/store"
)

// offerMeta is the provisioned throughput of a database or a container.
type offerMeta struct {
	RID        string `json:"rid"`
	ResourceID string `json:"resource_id"`
	Throughput int    `json:"throughput,omitempty"` // RU/s
	Autoscale  int    `json:"autoscale,omitempty"`  // most RU/s, 0: manual
	Version    uint32 `json:"version"`
}

const (
	minThroughput = 400
	minAutoscale  = 1000
	maxThroughput = 1_000_000
)

// limit is the RU/s that the offer allows.
func (o *offerMeta) limit() float64 {
	if o.Autoscale > 0 {
		return float64(o.Autoscale)
	}
	return float64(o.Throughput)
}

func (o *offerMeta) check() *apiError {
	switch {
	case o.Autoscale > 0 && (o.Autoscale < minAutoscale || o.Autoscale%1000 != 0):
		return badRequest("The value of maxThroughput specified is invalid: it must be %d or more, "+
			"in steps of 1000.", minAutoscale)
	case o.Autoscale == 0 && (o.Throughput < minThroughput || o.Throughput%100 != 0 ||
		o.Throughput > maxThroughput):
		return badRequest("The value of offerThroughput specified is invalid: it must be between %d "+
			"and %d, in steps of 100.",
			minThroughput, maxThroughput)
	}
	return nil
}

// offerHeaders reads the throughput that a create asks for; nil when it asks for none.
func (c *call) offerHeaders() (*offerMeta, *apiError) {
	o := &offerMeta{}
	if text := c.header("x-ms-offer-throughput"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, badRequest("The value '%s' of header x-ms-offer-throughput is invalid.", text)
		}
		o.Throughput = n
	}
	if text := c.header("x-ms-cosmos-offer-autopilot-settings"); text != "" {
		v, err := value.Parse([]byte(text))
		if err != nil {
			return nil, badRequest("The header x-ms-cosmos-offer-autopilot-settings is invalid.")
		}
		o.Autoscale = int(v.Get("maxThroughput").Num)
	}
	if o.Throughput == 0 && o.Autoscale == 0 {
		return nil, nil
	}
	return o, o.check()
}

func (o *offerMeta) value(self string, ts int64) value.Value {
	content := value.OfObject([]value.Member{
		{
			Name:  "offerThroughput",
			Value: value.OfNumber(o.limit()),
		},
		{Name: "offerIsRUPerMinuteThroughputEnabled", Value: value.OfBool(false)},
	})
	if o.Autoscale > 0 {
		content = value.OfObject([]value.Member{
			{Name: "offerThroughput", Value: value.OfNumber(o.limit() / 10)},
			{Name: "offerAutopilotSettings", Value: value.OfObject([]value.Member{
				{Name: "maxThroughput", Value: value.OfNumber(float64(o.Autoscale))},
			})},
		})
	}
	return value.OfObject([]value.Member{
		{Name: "resource", Value: value.OfString(self)},
		{Name: "offerType", Value: value.OfString("Invalid")},
		{Name: "offerResourceId", Value: value.OfString(o.ResourceID)},
		{Name: "offerVersion", Value: value.OfString("V2")},
		{Name: "content", Value: content},
		{Name: "id", Value: value.OfString(o.RID)},
		{Name: "_rid", Value: value.OfString(o.RID)},
		{Name: "_self", Value: value.OfString("offers/" + o.RID + "/")},
		{Name: "_etag", Value: value.OfString(`"` + metaETag(o.Version, 0, ts) + `"`)},
		{Name: "_ts", Value: value.OfNumber(float64(ts))},
	})
}

// offers serves /offers and /offers/{rid}.
func (c *call) offers() *apiError {
	list := c.s.offerValues()
	if len(c.path) == 1 {
		if c.r.Method == http.MethodGet || c.r.Method == http.MethodPost && c.isQuery() {
			return c.metadataFeed("", "Offers", list)
		}
		return methodNotAllowed()
	}
	i := slices.IndexFunc(list, func(v value.Value) bool { return v.Get("_rid").Str == c.path[1] })
	if i < 0 {
		return notFound()
	}
	switch c.r.Method {
	case http.MethodGet:
		return c.reply(http.StatusOK, list[i].JSON(), metadataCharge)
	case http.MethodPut:
		return c.replaceOffer(c.path[1])
	}
	return methodNotAllowed()
}

func (s *Server) offerValues() []value.Value {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := []value.Value{}
	for _, d := range s.databases {
		if d.Offer != nil {
			out = append(out, d.Offer.value("dbs/"+d.RID+"/", d.TS))
		}
		for _, col := range d.containers {
			col.mu.RLock()
			if o := col.meta.Offer; o != nil {
				out = append(out, o.value(col.self(), col.meta.TS))
			}
			col.mu.RUnlock()
		}
	}
	return byID(out)
}

func (c *call) replaceOffer(rid string) *apiError {
	v, err := c.json()
	if err != nil {
		return err
	}
	content := v.Get("content")
	next := offerMeta{RID: rid, Throughput: int(content.Get("offerThroughput").Num)}
	if a := content.Get("offerAutopilotSettings").Get("maxThroughput"); a.Kind == value.Number {
		next.Autoscale = int(a.Num)
	}
	if err := next.check(); err != nil {
		return err
	}
	out, err := c.s.storeOffer(next)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, out.JSON(), metadataCharge)
}

// storeOffer replaces the offer of that _rid.
func (s *Server) storeOffer(next offerMeta) (value.Value, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.databases {
		if d.Offer != nil && d.Offer.RID == next.RID {
			next.ResourceID, next.Version = d.Offer.ResourceID, d.Offer.Version+1
			m := d.databaseMeta
			m.Offer = &next
			if err := s.putMeta(databaseKey(m.ID), m); err != nil {
				return value.Value{}, err
			}
			d.databaseMeta = m
			d.rate.Store(int64(next.limit()))
			return next.value("dbs/"+d.RID+"/", d.TS), nil
		}
		for _, col := range d.containers {
			if out, ok, err := col.storeOffer(next); ok {
				return out, err
			}
		}
	}
	return value.Value{}, notFound()
}

func (s *Server) putMeta(key []byte, m any) *apiError {
	text, err := json.Marshal(m)
	if err == nil {
		err = s.db.Set(key, text, store.Sync)
	}
	if err != nil {
		return internalError(err)
	}
	return nil
}

func (c *container) storeOffer(next offerMeta) (value.Value, bool, *apiError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.meta.Offer
	if old == nil || old.RID != next.RID {
		return value.Value{}, false, nil
	}
	next.ResourceID, next.Version = old.ResourceID, old.Version+1
	m := c.meta
	m.Offer = &next
	if err := c.srv.putMeta(key32(prefixContainer, m.CID), m); err != nil {
		return value.Value{}, true, err
	}
	c.meta = m
	return next.value(c.self(), m.TS), true, nil
}

// bucket is a token bucket of request units that may go into debt by the request under way: the
// service, too, learns a charge afterwards.
type bucket struct {
	mu    sync.Mutex
	level float64
	at    time.Time
}

// admit returns how long to wait until the bucket is out of debt; 0: go ahead.
func (b *bucket) admit(now time.Time, rate float64) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refill(now, rate)
	if b.level > 0 {
		return 0
	}
	return time.Duration((1 - b.level) / rate * float64(time.Second))
}

func (b *bucket) refill(now time.Time, rate float64) {
	if b.at.IsZero() {
		b.level = rate
	} else if d := now.Sub(b.at); d > 0 {
		b.level = min(rate, b.level+rate*d.Seconds())
	}
	b.at = now
}

func (b *bucket) spend(charge float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.level -= charge
}

// budget returns the bucket and the rate that the container lives on; a rate of 0 is no limit. The
// caller holds c.mu.
func (c *container) budget() (*bucket, float64) {
	switch {
	case !c.srv.cfg.RateLimiting:
		return nil, 0
	case c.meta.Offer != nil:
		return &c.bucket, c.meta.Offer.limit()
	}
	return &c.db.bucket, float64(c.db.rate.Load())
}

// admit refuses a request when the budget is used up.
func (c *container) admit() *apiError {
	b, rate := c.budget()
	if rate == 0 {
		return nil
	}
	if wait := b.admit(c.srv.cfg.Clock(), rate); wait > 0 {
		return throttled(int(wait.Milliseconds()) + 1)
	}
	return nil
}

func (c *container) spend(charge float64) {
	if b, rate := c.budget(); rate != 0 {
		b.spend(charge)
	}
}
