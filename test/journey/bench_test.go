package journey

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	proc "github.com/proa-cloud/proa/test/internal/system"
)

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// BenchmarkStart measures `proa up` until an order is served, on an empty folder and on one that was
// provisioned, and what its processes hold in memory then.
func BenchmarkStart(b *testing.B) {
	bin := proc.Binary(b)
	var empty, again []time.Duration
	for range 5 {
		s := &system{&proc.System{T: b, Bin: bin, Dir: b.TempDir()}}
		for _, into := range []*[]time.Duration{&empty, &again} {
			began := time.Now()
			s.Up()
			mustRequest(b, "GET", s.status().Regions["aws"].Gateway+"/orders", "")
			*into = append(*into, time.Since(began))
			for _, p := range s.status().Processes {
				b.ReportMetric(float64(p.RSSBytes)/(1<<20), p.Name+"-MiB")
			}
			s.Stop()
		}
	}
	b.ReportMetric(float64(median(empty).Milliseconds()), "empty-ms")
	b.ReportMetric(float64(median(again).Milliseconds()), "provisioned-ms")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkLag sends 250 orders a second to AWS for 20 s and reports how old they were when Azure's
// readers saw them.
func BenchmarkLag(b *testing.B) {
	s := start(b, proc.Binary(b), b.TempDir())
	st := s.status()
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(st.Regions["aws"].Gateway, "http://"))
	l := &load{server: st.DNS[0], zone: st.Zone, port: port, rate: 250, prefix: "lag"}
	began := time.Now()
	stop := l.start()
	time.Sleep(20 * time.Second)
	lag := s.status().Regions["aws"]
	stop()
	if lag.LagP50MS == nil || lag.LagP99MS == nil {
		b.Fatal("no lag was measured")
	}
	b.ReportMetric(float64(len(acked(l.snapshot(), "aws", began, time.Now())))/20, "orders/s")
	b.ReportMetric(*lag.LagP50MS, "p50-ms")
	b.ReportMetric(*lag.LagP99MS, "p99-ms")
	for _, p := range s.status().Processes {
		b.ReportMetric(float64(p.RSSBytes)/(1<<20), p.Name+"-MiB")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkCatchUp writes 20,000 items of 1 KiB to AWS while Azure is dead, brings it back and
// measures until it has them all.
func BenchmarkCatchUp(b *testing.B) {
	const items = 20_000
	s := start(b, proc.Binary(b), b.TempDir())
	v := s.vendors()
	s.Proa("kill", "azure")
	writeItems(b, v, items)
	s.Proa("heal", "azure")
	began := time.Now()
	proc.Until(b, 5*time.Minute, "both sides to be equal", func() error {
		a := s.status().Regions["aws"]
		if a.Backlog == nil || a.LagMS == nil || *a.Backlog > 0 {
			return errors.New("there is a backlog")
		}
		return nil
	})
	took := time.Since(began)
	if out := s.Proa("verify"); !strings.Contains(out, "0 differences") {
		b.Fatal(out)
	}
	b.ReportMetric(items/took.Seconds(), "items/s")
	b.ReportMetric(0, "ns/op")
}

func writeItems(b *testing.B, v vendors, items int) {
	b.Helper()
	text := &types.AttributeValueMemberS{Value: strings.Repeat("0123456789abcdef", 62)}
	batches := make(chan []types.WriteRequest)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for batch := range batches {
				out, err := v.dynamo.BatchWriteItem(context.Background(), &dynamodb.BatchWriteItemInput{
					RequestItems: map[string][]types.WriteRequest{"orders": batch},
				})
				if err != nil || len(out.UnprocessedItems) > 0 {
					b.Errorf("write: %v", err)
				}
			}
		})
	}
	for n := 0; n < items; n += 25 {
		var batch []types.WriteRequest
		for i := range 25 {
			batch = append(batch, types.WriteRequest{PutRequest: &types.PutRequest{Item: map[string]types.AttributeValue{
				"id": &types.AttributeValueMemberS{Value: fmt.Sprintf("item-%05d", n+i)}, "text": text,
			}}})
		}
		batches <- batch
	}
	close(batches)
	wg.Wait()
}

// BenchmarkFailover kills AWS five times under 250 orders a second from clients that honour the TTL of 2 s.
func BenchmarkFailover(b *testing.B) {
	s := start(b, proc.Binary(b), b.TempDir())
	st := s.status()
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(st.Regions["aws"].Gateway, "http://"))
	var flips, firsts, backs []time.Duration
	for trial := range 5 {
		l := &load{server: st.DNS[0], zone: st.Zone, port: port, rate: 250, prefix: fmt.Sprint("trial-", trial)}
		stop := l.start()
		time.Sleep(3*time.Second + time.Duration(trial)*370*time.Millisecond) // at different ages of the answer
		killed := time.Now()
		s.Proa("kill", "aws")
		flips = append(flips, proc.Until(b, 10*time.Second, "DNS to flip", s.answers(st, "azure")))
		proc.Until(b, 10*time.Second, "an order on Azure", func() error {
			if len(acked(l.snapshot(), "azure", killed, time.Now())) == 0 {
				return errors.New("none yet")
			}
			return nil
		})
		firsts = append(firsts, time.Since(killed))
		stop()
		s.Proa("heal", "aws")
		backs = append(backs, proc.Until(b, time.Minute, "failback", s.answers(st, "aws")))
	}
	b.ReportMetric(float64(median(flips).Milliseconds()), "flip-ms")
	b.ReportMetric(float64(median(firsts).Milliseconds()), "rto-ms")
	b.ReportMetric(float64(slices.Max(firsts).Milliseconds()), "rto-max-ms")
	b.ReportMetric(float64(median(backs).Milliseconds()), "failback-ms")
	b.ReportMetric(0, "ns/op")
}

// answers checks that the name server answers a region's address.
func (s *system) answers(st status, region string) func() error {
	host, _, _ := net.SplitHostPort(strings.TrimPrefix(st.Regions[region].Gateway, "http://"))
	return func() error {
		addr, _, err := lookup(st.DNS[0], st.Zone)
		if err == nil && addr != host {
			err = fmt.Errorf("the answer is %s", addr)
		}
		return err
	}
}
