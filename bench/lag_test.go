package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// BenchmarkLagUnderLoad writes 1 KiB items to DynamoDB at a fixed rate for ten seconds, whether the answers come or not
// (open loop), and reports how long after its acknowledgement each item stood in Cosmos DB's change feed, which is read every
// few milliseconds beside it. Writers, both clouds, the nodes and the reader share the machine; it logs its load.
func BenchmarkLagUnderLoad(b *testing.B) {
	s := start(b)
	c := s.clients()
	for _, rate := range []int{250, 500, 1000, 2000} {
		b.Run(fmt.Sprint(rate, "/s"), func(b *testing.B) {
			for round := range b.N {
				s.settled()
				before := s.cpu()
				lags, lost := c.openLoop(b, rate, fmt.Sprintf("l%d-%d-%d-", rate, round, time.Now().UnixNano()))
				b.Logf("µs of CPU an item: %s", perItem(before, s.cpu(), rate*10))
				slices.Sort(lags)
				load, err := os.ReadFile("/proc/loadavg")
				if err != nil {
					b.Skip("no /proc")
				}
				b.Logf("load %s", strings.TrimSpace(string(load)))
				b.ReportMetric(ms(lags[len(lags)/2]), "p50-ms")
				b.ReportMetric(ms(lags[len(lags)*99/100]), "p99-ms")
				b.ReportMetric(float64(lost), "refused")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// perItem says what each process used between two readings, in µs an item, the largest first.
func perItem(before, after map[string]time.Duration, items int) string {
	used := map[string]int64{}
	var all int64
	for name, cpu := range after {
		used[name] = (cpu - before[name]).Microseconds() / int64(items)
		all += used[name]
	}
	names := slices.SortedFunc(maps.Keys(used), func(a, b string) int { return cmp.Compare(used[b], used[a]) })
	text := fmt.Sprint(all, " in all")
	for _, name := range names {
		text += fmt.Sprintf(", %s %d", name, used[name])
	}
	return text
}

// openLoop returns the lags of the writes that were acknowledged, and how many were not.
func (c clients) openLoop(b *testing.B, rate int, prefix string) (lags []time.Duration, refused int) {
	b.Helper()
	container, err := c.cosmos.NewContainer("orders")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	seen := make(chan map[string]time.Time, 1)
	began, stop := make(chan struct{}), make(chan int, 1)
	go func() { seen <- watch(ctx, container, prefix, began, stop) }()
	<-began
	n, table := rate*10, "orders"
	acked := map[string]time.Time{}
	var mu sync.Mutex
	var writes sync.WaitGroup
	first := time.Now()
	for i := range n {
		time.Sleep(time.Until(first.Add(time.Duration(i) * time.Second / time.Duration(rate))))
		writes.Go(func() {
			id := fmt.Sprint(prefix, i)
			_, err := c.db.PutItem(ctx, &dynamodb.PutItemInput{TableName: &table, Item: map[string]types.AttributeValue{
				"id": &types.AttributeValueMemberS{Value: id}, "text": &types.AttributeValueMemberS{Value: body(i)},
			}})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				refused++
				return
			}
			acked[id] = time.Now()
		})
	}
	writes.Wait()
	stop <- len(acked)
	at := <-seen
	for id, ack := range acked {
		there, ok := at[id]
		if !ok {
			b.Fatalf("%s never crossed", id)
		}
		lags = append(lags, max(there.Sub(ack), 0))
	}
	return lags, refused
}

// watch reads the change feed from now on until as many documents as stop says have appeared, or a minute after it has said.
func watch(
	ctx context.Context, container *azcosmos.ContainerClient, prefix string, began chan<- struct{}, stop <-chan int,
) map[string]time.Time {
	at := map[string]time.Time{}
	var token string
	want, live := -1, false
	end := time.Now().Add(5 * time.Minute)
	for (want < 0 || len(at) < want) && time.Now().Before(end) && ctx.Err() == nil {
		o := &azcosmos.ChangeFeedOptions{MaxItemCount: 1000, Continuation: &token}
		if token == "" {
			o = &azcosmos.ChangeFeedOptions{
				MaxItemCount: 1000, FeedRange: &azcosmos.FeedRange{MinInclusive: "", MaxExclusive: "FF"},
			}
		}
		out, err := container.ReadChangeFeed(ctx, o)
		now := time.Now()
		if err == nil && out.ContinuationToken != "" {
			token = out.ContinuationToken
		}
		for _, text := range out.Items {
			var d struct {
				ID string `json:"id"`
			}
			if json.Unmarshal(text, &d) == nil && strings.HasPrefix(d.ID, prefix) && at[d.ID].IsZero() {
				at[d.ID] = now
			}
		}
		if len(out.Items) == 0 {
			if !live {
				live = true
				close(began)
			}
			time.Sleep(5 * time.Millisecond)
		}
		select {
		case want = <-stop:
			end = now.Add(time.Minute)
		default:
		}
	}
	return at
}
