package health

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
)

func TestMedianIgnoresOutliers(t *testing.T) {
	var r roundTrips
	if r.median() != 0 {
		t.Error("a median of nothing")
	}
	for i := range 10 * samples {
		d := 10 * time.Millisecond
		if i%3 == 0 {
			d = time.Second
		}
		r.add(d)
	}
	if r.median() != 10*time.Millisecond || len(r.last) != samples {
		t.Errorf("%s of %d", r.median(), len(r.last))
	}
	for range samples {
		r.add(time.Millisecond)
	}
	if r.median() != time.Millisecond {
		t.Errorf("old figures stay: %s", r.median())
	}
}

// TestRoundTripsAreMeasuredByRegion probes two servers by TCP and HTTP; one of them can be reached.
func TestRoundTripsAreMeasuredByRegion(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		time.Sleep(300 * time.Millisecond) // the service's own time does not count
	}))
	defer srv.Close()
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.Close()
	web, err := NewHTTP(HTTPConfig{URL: srv.URL, Guard: here})
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(Config{
		Vantage: "node-1", Clock: time.Now, Report: func(proa.Verdict) {},
		Endpoints: []Endpoint{
			{Region: proa.AWS, Guard: here, Checks: []CheckConfig{{Name: "service", Probe: web, Timing: DefaultTiming()}}},
			{Region: proa.Azure, Guard: here, Checks: []CheckConfig{
				{Name: "port", Probe: TCP{Address: dead.Addr().String(), Guard: here}, Timing: DefaultTiming()},
			}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.RoundTrips()) != 0 {
		t.Error("figures before any probe")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	for ctx.Err() == nil && p.RoundTrips()[proa.AWS] == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	trips := p.RoundTrips()
	if d := trips[proa.AWS]; d <= 0 || d >= 300*time.Millisecond {
		t.Errorf("aws: %s", d)
	}
	if d, ok := trips[proa.Azure]; ok {
		t.Errorf("azure was not reached: %s", d)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
