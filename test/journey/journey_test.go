package journey

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	proc "github.com/proa-cloud/proa/test/internal/system"
)

// TestJourney is the main job, start to end: serve, replicate, foreign writers, loss of AWS under load, healing, split brain.
func TestJourney(t *testing.T) {
	s := start(t, proc.Binary(t), filepath.Join(t.TempDir(), "proa"))
	t.Logf("proa up on an empty folder: %s", s.Took.Round(time.Millisecond))
	(&journey{system: s}).run(t)
}

// TestJourneyWithNodesThatDie is the same while one of the three nodes is killed, ten times at random points: the end state must be the same.
func TestJourneyWithNodesThatDie(t *testing.T) {
	s := start(t, proc.Binary(t), filepath.Join(t.TempDir(), "proa"))
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	j := &journey{system: s, killer: startKiller(s, seed, 10)}
	j.run(t)
	j.killer.finish()
	t.Logf("nodes were killed %d times", j.killer.count())
	if j.killer.count() != 10 {
		t.Errorf("nodes were killed %d times, want 10", j.killer.count())
	}
	j.endEqual(t)
}

// TestUpAgain starts a provisioned folder, and a second `proa up` on it.
func TestUpAgain(t *testing.T) {
	s := start(t, proc.Binary(t), filepath.Join(t.TempDir(), "proa"))
	mustRequest(t, "POST", s.status().Regions["aws"].Gateway+"/orders", `{"id":"kept","item":"anchor"}`)
	if _, stderr, code := s.Run("up", "--ports", "auto"); code != 1 || !bytes.Contains([]byte(stderr), []byte("another `proa up`")) {
		t.Errorf("second up: exit %d, %s", code, stderr)
	}
	before := s.status()
	s.Stop()
	s.Up()
	t.Logf("proa up on a provisioned folder: %s", s.Took.Round(time.Millisecond))
	after := s.status()
	if before.Regions["aws"].Gateway != after.Regions["aws"].Gateway {
		t.Errorf("the gateway moved from %s to %s", before.Regions["aws"].Gateway, after.Regions["aws"].Gateway)
	}
	mustRequest(t, "GET", after.Regions["aws"].Gateway+"/orders/kept", "")
}

// killer SIGKILLs a node at random moments.
type killer struct {
	stop chan struct{}
	done sync.WaitGroup
	mu   sync.Mutex
	n    int
}

func startKiller(s *system, seed uint64, times int) *killer {
	k := &killer{stop: make(chan struct{})}
	rng := mrand.New(mrand.NewPCG(seed, 1))
	k.done.Go(func() {
		for range times {
			wait := time.Duration(500+rng.IntN(3500)) * time.Millisecond
			select {
			case <-k.stop:
				wait = 300 * time.Millisecond // the journey is over: do the rest quickly
				time.Sleep(wait)
			case <-time.After(wait):
			}
			if s.killNode(fmt.Sprintf("node-%d", 1+rng.IntN(3))) == nil {
				k.mu.Lock()
				k.n++
				k.mu.Unlock()
			}
		}
	})
	return k
}

func (k *killer) finish() {
	close(k.stop)
	k.done.Wait()
}

func (k *killer) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.n
}

type journey struct {
	*system
	killer *killer // nil: the nodes live
	v      vendors
	aws    string // gateway URLs
	azure  string
	// mustComeBack are the orders that AWS acknowledged before it was lost.
	mustComeBack []write
}

// limit is how long something may take; a node that dies over and over may take longer.
func (j *journey) limit(d time.Duration) time.Duration {
	if j.killer != nil {
		return max(10*d, 60*time.Second)
	}
	return d
}

func (j *journey) run(t *testing.T) {
	st := j.status()
	j.v, j.aws, j.azure = j.vendors(), st.Regions["aws"].Gateway, st.Regions["azure"].Gateway
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"1 orders are served and replicated", j.ordersReplicate},
		{"2 foreign writers on both sides", j.foreignWriters},
		{"3 AWS is lost under load", j.loseAWS},
		{"4 AWS heals and traffic comes back", j.healAWS},
		{"5 split brain", j.splitBrain},
	} {
		if !t.Run(step.name, step.run) {
			t.Fatal("the journey ends here")
		}
	}
}

// dnsAnswers waits until the name server answers a region.
func (j *journey) dnsAnswers(t *testing.T, region string, limit time.Duration) time.Duration {
	t.Helper()
	st := j.status()
	want := j.gatewayHost(region)
	return proc.Until(t, limit, "DNS to answer "+region, func() error {
		addr, ttl, err := lookup(st.DNS[0], st.Zone)
		if err != nil {
			return err
		}
		if addr != want {
			return fmt.Errorf("answer %s, ttl %s; want %s", addr, ttl, want)
		}
		if ttl != 2*time.Second {
			t.Fatalf("TTL %s, want 2s", ttl)
		}
		return nil
	})
}

func (j *journey) ordersReplicate(t *testing.T) {
	j.dnsAnswers(t, "aws", j.limit(5*time.Second))
	mustRequest(t, "POST", j.aws+"/orders", `{"id":"first"}`)
	proc.Until(t, j.limit(20*time.Second), "data sync to have its owner", func() error {
		if mustRequestOrNothing(t, j.azure+"/orders/first") == "" {
			return errors.New("nothing has been replicated yet")
		}
		return nil
	})
	file := make([]byte, 300<<10)
	_, _ = rand.Read(file)
	var slowest time.Duration
	for i := range 10 {
		var order struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(mustRequest(t, "POST", j.aws+"/orders", fmt.Sprintf(`{"item":"anchor","n":%d}`, i)), &order); err != nil || order.ID == "" {
			t.Fatalf("no id in the answer: %v", err)
		}
		took := proc.Until(t, j.limit(time.Second), "the order on Azure", func() error {
			code, by, body, err := request(t.Context(), "GET", j.azure+"/orders/"+order.ID, nil, "")
			if err != nil || code != 200 || by != "azure" {
				return fmt.Errorf("%d by %q: %v %s", code, by, err, body)
			}
			return nil
		})
		slowest = max(slowest, took)
		code, _, body, err := request(t.Context(), "PUT", j.aws+"/orders/"+order.ID+"/attachment", file, "image/png")
		if err != nil || code/100 != 2 {
			t.Fatalf("PUT attachment: %d %v %s", code, err, body)
		}
		proc.Until(t, j.limit(5*time.Second), "the attachment on Azure", func() error {
			code, _, got, err := request(t.Context(), "GET", j.azure+"/orders/"+order.ID+"/attachment", nil, "")
			if err != nil || code != 200 || sha256.Sum256(got) != sha256.Sum256(file) {
				return fmt.Errorf("%d %v, %d bytes", code, err, len(got))
			}
			return nil
		})
	}
	t.Logf("slowest of 10 orders on the other side: %s", slowest.Round(time.Millisecond))
	code, _, body, err := request(t.Context(), "PUT", j.aws+"/orders/big/attachment", make([]byte, 11<<20), "image/png")
	if err != nil || code != 413 {
		t.Errorf("an attachment past the gateway's limit: %d %v %.200s", code, err, body)
	}
}

// same waits until both SDKs see what check wants of a key.
func (j *journey) same(t *testing.T, id string, check func(dynamo map[string]types.AttributeValue, cosmos map[string]any) error) {
	t.Helper()
	proc.Until(t, j.limit(10*time.Second), id+" to be equal", func() error {
		d, err := j.v.dynamoGet(t.Context(), id)
		if err != nil {
			return err
		}
		c, err := j.v.cosmosGet(t.Context(), id)
		if err != nil {
			return err
		}
		return check(d, c)
	})
}

func text(v any) string {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return v.Value
	case nil:
		return ""
	default:
		return fmt.Sprint(v)
	}
}

// attribute expects one attribute to have the value on both sides.
func attribute(name, want string) func(map[string]types.AttributeValue, map[string]any) error {
	return func(d map[string]types.AttributeValue, c map[string]any) error {
		if text(d[name]) != want || text(c[name]) != want {
			return fmt.Errorf("%s: DynamoDB %q, Cosmos %q, want %q", name, text(d[name]), text(c[name]), want)
		}
		return nil
	}
}

func gone(d map[string]types.AttributeValue, c map[string]any) error {
	if d != nil || c != nil {
		return fmt.Errorf("DynamoDB %v, Cosmos %v; want neither", d, c)
	}
	return nil
}

func (j *journey) foreignWriters(t *testing.T) {
	s := func(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }
	_, err := j.v.dynamo.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("orders"), Item: map[string]types.AttributeValue{
		"id": s("f-1"), "item": s("rope"), "big": &types.AttributeValueMemberN{Value: "12345678901234567890123456789012345678"},
		"raw": &types.AttributeValueMemberB{Value: []byte{0, 255, 1}}, "tags": &types.AttributeValueMemberSS{Value: []string{"a", "b"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	j.same(t, "f-1", attribute("item", "rope"))

	j.v.cosmosUpsert(t, map[string]any{"id": "f-2", "item": "hull", "n": 4.5})
	j.same(t, "f-2", attribute("item", "hull"))

	// Partial updates: neither side knows of envelopes.
	j.v.dynamoUpdate(t, "f-2", "SET colour = :c", map[string]types.AttributeValue{":c": s("red")})
	j.same(t, "f-2", attribute("colour", "red"))
	j.v.cosmosPatch(t, "f-1", "/item", "cable")
	j.same(t, "f-1", attribute("item", "cable"))

	// What Cosmos cannot hold by nature came back as it was.
	back, err := j.v.dynamoGet(t.Context(), "f-1")
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := back["big"].(*types.AttributeValueMemberN); !ok || n.Value != "12345678901234567890123456789012345678" {
		t.Errorf("the 38-digit number came back as %#v", back["big"])
	}
	if b, ok := back["raw"].(*types.AttributeValueMemberB); !ok || !bytes.Equal(b.Value, []byte{0, 255, 1}) {
		t.Errorf("binary came back as %#v", back["raw"])
	}
	if ss, ok := back["tags"].(*types.AttributeValueMemberSS); !ok || len(ss.Value) != 2 {
		t.Errorf("the set came back as %#v", back["tags"])
	}

	// Deletes, from either side.
	j.v.cosmosDelete(t, "f-1")
	j.same(t, "f-1", gone)
	j.v.dynamoDelete(t, "f-2")
	j.same(t, "f-2", gone)

	j.bothAtOnce(t)
}

// bothAtOnce writes the same keys through both SDKs at the same time: both sides must end equal, and losers be in the journal whole.
func (j *journey) bothAtOnce(t *testing.T) {
	const keys = 20
	concurrent := map[string]bool{} // neither write found the other's
	for i := range keys {
		id := fmt.Sprintf("both-%02d", i)
		var dynamoFirst, cosmosFirst bool
		var wg sync.WaitGroup
		wg.Go(func() {
			out, err := j.v.dynamo.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("orders"), Item: map[string]types.AttributeValue{
				"id": &types.AttributeValueMemberS{Value: id}, "from": &types.AttributeValueMemberS{Value: "dynamo"},
			}, ReturnValues: types.ReturnValueAllOld})
			if err != nil {
				t.Error(err)
				return
			}
			dynamoFirst = len(out.Attributes) == 0
		})
		wg.Go(func() { cosmosFirst = j.v.cosmosUpsert(t, map[string]any{"id": id, "from": "cosmos"}) })
		wg.Wait()
		concurrent[id] = dynamoFirst && cosmosFirst
		if !concurrent[id] {
			t.Logf("%s: one write was replicated before the other was made", id)
		}
	}
	winners := map[string]string{}
	for i := range keys {
		id := fmt.Sprintf("both-%02d", i)
		j.same(t, id, func(d map[string]types.AttributeValue, c map[string]any) error {
			winners[id] = text(d["from"])
			if winners[id] == "" || winners[id] != text(c["from"]) {
				return fmt.Errorf("DynamoDB %q, Cosmos %q", text(d["from"]), text(c["from"]))
			}
			return nil
		})
	}
	n := 0
	for _, is := range concurrent {
		if is {
			n++
		}
	}
	if n < keys/2 {
		t.Errorf("only %d of %d pairs of writes were concurrent", n, keys)
	}
	journal := j.conflicts(t)
	for id, winner := range winners {
		loser := "dynamo"
		if winner == "dynamo" {
			loser = "cosmos"
		}
		if concurrent[id] && !slices.ContainsFunc(journal, func(c conflict) bool { return c.Key["id"]["S"] == id && c.loserHas("from", loser) }) {
			t.Errorf("%s: %s won, and the journal does not have the other's write", id, winner)
		}
	}
}

// conflict is the part of the journal's JSON that the journey reads.
type conflict struct {
	Key   map[string]map[string]any `json:"key"`
	Loser struct {
		Item map[string]map[string]any `json:"item"`
	} `json:"loser"`
	Winner struct {
		Item map[string]map[string]any `json:"item"`
	} `json:"winner"`
}

func (c conflict) loserHas(attribute, value string) bool {
	return c.Loser.Item[attribute]["S"] == value
}

func (j *journey) conflicts(t *testing.T) []conflict {
	t.Helper()
	var list struct {
		Conflicts []conflict `json:"conflicts"`
		Silent    []struct {
			Node, Why string
		} `json:"silent"` // a node that the test has just killed, whose journal may be the one with the entries
	}
	proc.Until(t, j.limit(5*time.Second), "the conflict journal", func() error {
		out, stderr, code := j.system.Run("conflicts", "--limit", "10000", "-o", "json")
		if code != 0 {
			return errors.New(stderr)
		}
		list.Silent = nil
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			return err
		}
		if len(list.Silent) > 0 {
			return fmt.Errorf("not all nodes answer: %v", list.Silent)
		}
		return nil
	})
	return list.Conflicts
}

func (j *journey) loseAWS(t *testing.T) {
	st := j.status()
	_, port, _ := net.SplitHostPort(st.Regions["aws"].Gateway[len("http://"):])
	l := &load{server: st.DNS[0], zone: st.Zone, port: port, rate: 250, prefix: "load"}
	stop := l.start()
	defer stop()
	time.Sleep(4 * time.Second) // constant load before the loss

	killed := time.Now()
	j.Proa("kill", "aws")
	j.dnsAnswers(t, "azure", j.limit(5*time.Second))
	detected := time.Since(killed)
	var first time.Time
	proc.Until(t, j.limit(10*time.Second), "requests to succeed on Azure", func() error {
		for _, w := range acked(l.snapshot(), "azure", killed, time.Now()) {
			if first.IsZero() || w.done.Before(first) {
				first = w.done
			}
		}
		if first.IsZero() {
			return errors.New("none yet")
		}
		return nil
	})
	time.Sleep(3 * time.Second) // writes continue on Azure
	stop()

	before := acked(l.snapshot(), "aws", time.Time{}, killed.Add(time.Second))
	t.Logf("kill → DNS flipped: %s; kill → first order on Azure: %s; %d orders acknowledged by AWS before", detected.Round(time.Millisecond), first.Sub(killed).Round(time.Millisecond), len(before))
	rate := float64(len(acked(l.snapshot(), "aws", killed.Add(-3*time.Second), killed))) / 3
	if rate < 200 && j.killer == nil {
		t.Errorf("AWS acknowledged %.0f orders a second under load, want at least 200", rate)
	}
	j.everyOrderIsThereOrListed(t, before)
}

// everyOrderIsThereOrListed checks that each order acknowledged by AWS is on Azure or listed by `proa diff`.
func (j *journey) everyOrderIsThereOrListed(t *testing.T, before []write) {
	var diff struct {
		Unreplicated []struct {
			Key map[string]map[string]string `json:"key"`
		} `json:"unreplicated"`
		Incomplete []struct{ From, To time.Time } `json:"incomplete"`
	}
	proc.Until(t, j.limit(5*time.Second), "proa diff", func() error {
		out, stderr, code := j.system.Run("diff", "--region", "aws", "-o", "json")
		if code != 0 {
			return errors.New(stderr)
		}
		return json.Unmarshal([]byte(out), &diff)
	})
	listed := map[string]bool{}
	for _, u := range diff.Unreplicated {
		listed[u.Key["id"]["S"]] = true
	}
	// What was acknowledged while no node was there is in no list, which must say so.
	said := func(w write) bool {
		return slices.ContainsFunc(diff.Incomplete, func(span struct{ From, To time.Time }) bool {
			return j.killer != nil && w.done.After(span.From) && w.done.Before(span.To)
		})
	}
	missing, hidden, away := 0, 0, 0
	for _, w := range before {
		doc, err := j.v.cosmosGet(t.Context(), w.id)
		if err != nil {
			t.Fatal(err)
		}
		if doc == nil {
			missing++
			switch {
			case listed[w.id]:
			case said(w):
				away++
			default:
				hidden++
				if hidden < 5 {
					t.Errorf("order %s was acknowledged by AWS, is not on Azure and is not listed", w.id)
				}
			}
		}
	}
	t.Logf("%d orders acknowledged by AWS, %d not on Azure yet, of them %d not listed and %d acknowledged while the node was dead, as it says",
		len(before), missing, hidden, away)
	j.mustComeBack = before
}

func (j *journey) healAWS(t *testing.T) {
	healed := time.Now()
	j.Proa("heal", "aws")
	t.Logf("heal aws: serving after %s", time.Since(healed).Round(time.Millisecond))
	j.endEqual(t)
	t.Logf("equal %s after the heal", time.Since(healed).Round(time.Millisecond))
	j.dnsAnswers(t, "aws", j.limit(30*time.Second))
	t.Logf("DNS answers aws again %s after the heal", time.Since(healed).Round(time.Millisecond))
	for _, w := range j.mustComeBack {
		doc, err := j.v.cosmosGet(t.Context(), w.id)
		if err != nil {
			t.Fatal(err)
		}
		if doc == nil {
			t.Errorf("order %s was acknowledged by AWS and is not on Azure after healing", w.id)
		}
	}
}

// endEqual waits until `proa verify` says 0 differences with nothing in flight.
func (j *journey) endEqual(t *testing.T) {
	t.Helper()
	var v struct {
		Keys        int64 `json:"keys"`
		Differences int64 `json:"differences"`
		InFlight    int64 `json:"in_flight"`
	}
	proc.Until(t, j.limit(60*time.Second), "both sides to be equal", func() error {
		out, stderr, code := j.system.Run("verify", "--deep", "-o", "json")
		if code != 0 && code != 4 {
			return errors.New(stderr)
		}
		if err := json.Unmarshal([]byte(out), &v); err != nil {
			return err
		}
		if v.Differences != 0 || v.InFlight != 0 || v.Keys == 0 {
			return fmt.Errorf("%+v %s", v, out)
		}
		return nil
	})
	t.Logf("verify: %d differences of %d keys", v.Differences, v.Keys)
}

func (j *journey) splitBrain(t *testing.T) {
	const keys = 10
	for i := range keys {
		mustRequest(t, "POST", j.aws+"/orders", fmt.Sprintf(`{"id":"split-%d","item":"oar"}`, i))
	}
	j.endEqual(t)
	j.Proa("partition", "aws")
	for i := range keys {
		id := fmt.Sprintf("split-%d", i)
		mustRequest(t, "PATCH", j.aws+"/orders/"+id, `{"note":"from aws"}`)
		mustRequest(t, "PATCH", j.azure+"/orders/"+id, `{"note":"from azure"}`)
	}
	if addr, _, err := lookup(j.status().DNS[0], j.status().Zone); j.killer == nil && (err != nil || addr != j.gatewayHost("aws")) {
		t.Errorf("a partition of data sync must not move users: %s, %v", addr, err)
	}
	j.Proa("heal", "partition")
	j.endEqual(t)
	journal := j.conflicts(t)
	for i := range keys {
		id := fmt.Sprintf("split-%d", i)
		var order struct {
			Note string `json:"note"`
		}
		if err := json.Unmarshal(mustRequest(t, "GET", j.azure+"/orders/"+id, ""), &order); err != nil {
			t.Fatal(err)
		}
		loser := map[string]string{"from aws": "from azure", "from azure": "from aws"}[order.Note]
		if loser == "" {
			t.Errorf("%s: the winner's note is %q", id, order.Note)
			continue
		}
		found := slices.ContainsFunc(journal, func(c conflict) bool {
			return c.Key["id"]["S"] == id && c.loserHas("note", loser) && c.Winner.Item["note"]["S"] == order.Note
		})
		if !found {
			t.Errorf("%s: %q won, and the journal does not hold both versions", id, order.Note)
		}
	}
}
