//go:build linux

package detect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic"
	"github.com/proa-cloud/proa/traffic/cluster"
)

const (
	zone  = "orders.proa.test"
	token = "detect"
)

// answers are the addresses that the zone gives for each region.
var answers = map[proa.Region]string{proa.AWS: "127.0.64.1", proa.Azure: "127.0.64.2"}

// world is two gateways and the nodes that watch them, each a process.
type world struct {
	t        testing.TB
	bin      string
	dir      string
	gateways map[proa.Region]*gateway
	nodes    []*node
	links    *links // nil: nodes reach each other directly
}

// node is one `proa node`.
type node struct {
	name    string
	beside  proa.Region
	dns     string
	control string
	peers   string
	file    string
	cmd     *exec.Cmd
	log     *buffer
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// binary is PROA_BIN, or one built now.
func binary(t testing.TB) string {
	t.Helper()
	if bin := os.Getenv("PROA_BIN"); bin != "" {
		return bin
	}
	bin := filepath.Join(t.TempDir(), "proa")
	build := exec.Command("go", "build", "-o", bin, "github.com/proa-cloud/proa/cmd/proa")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

// free is an address of this machine on which nothing listens.
func free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// newWorld starts the gateways and n nodes, of which the first two sit beside a region each.
func newWorld(t testing.TB, n int) *world {
	t.Helper()
	w := &world{t: t, bin: binary(t), dir: t.TempDir(), gateways: map[proa.Region]*gateway{}}
	w.begin(n)
	return w
}

// newLinkedWorld is newWorld with links between the nodes that can be cut.
func newLinkedWorld(t testing.TB, n int) *world {
	t.Helper()
	w := &world{t: t, bin: binary(t), dir: t.TempDir(), gateways: map[proa.Region]*gateway{}}
	w.links = &links{t: t, gates: map[[2]string]*passage{}}
	w.begin(n)
	return w
}

func (w *world) begin(n int) {
	t := w.t
	t.Helper()
	for _, r := range proa.Regions() {
		w.gateways[r] = &gateway{address: free(t)}
		w.gateways[r].start(t)
		t.Cleanup(w.gateways[r].kill)
	}
	for i := range n {
		node := &node{
			name: fmt.Sprintf("node-%d", i+1), dns: free(t), control: free(t), peers: free(t), log: &buffer{},
		}
		if n > 1 && i < 2 {
			node.beside = proa.Regions()[i]
		}
		w.nodes = append(w.nodes, node)
	}
	for _, node := range w.nodes {
		w.configure(node)
		w.start(node)
		t.Cleanup(func() {
			node.kill()
			if t.Failed() {
				t.Logf("%s:\n%s", node.name, node.log)
			}
		})
	}
}

// configure writes the node's proa.yaml.
func (w *world) configure(n *node) {
	n.file = filepath.Join(w.dir, n.name+".yaml")
	text := fmt.Sprintf(`zone: %s
node: {name: %s, dir: %q, dns: [%q], control: %q, control_token: %s, announce_token: none}
health: {allow_loopback: true}
traffic: {failback: manual, max_switches_per_hour: 1000}
tables: []
buckets: []
regions:
  aws: {gateway: {addresses: [%q], url: "http://%s"}}
  azure: {gateway: {addresses: [%q], url: "http://%s"}}
%s`, zone, n.name, filepath.Join(w.dir, n.name), n.dns, n.control, token,
		answers[proa.AWS], w.gateways[proa.AWS].address, answers[proa.Azure], w.gateways[proa.Azure].address,
		w.cluster(n))
	if err := os.WriteFile(n.file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// cluster makes the node's certificate and names the others; "" for a node that is alone.
func (w *world) cluster(n *node) string {
	if len(w.nodes) == 1 {
		return ""
	}
	dir := filepath.Join(w.dir, n.name+"-tls")
	if err := cluster.Issue(filepath.Join(w.dir, "ca"), dir, n.name, time.Now(), false); err != nil {
		w.t.Fatal(err)
	}
	files := cluster.FilesIn(dir)
	text := fmt.Sprintf("cluster:\n  ca: %q\n  certificate: %q\n  key: %q\n  nodes:\n", files.CA,
		files.Certificate, files.Key)
	for _, other := range w.nodes {
		beside, address := "", other.peers
		if other.beside != "" {
			beside = ", beside: " + string(other.beside)
		}
		if w.links != nil && other != n {
			address = w.links.between(n, other)
		}
		text += fmt.Sprintf("    - {name: %s, address: %q%s}\n", other.name, address, beside)
	}
	return text
}

func (w *world) start(n *node) {
	n.cmd = exec.Command(w.bin, "node", "--config", n.file)
	n.cmd.Stdout, n.cmd.Stderr = n.log, n.log
	if err := n.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
}

func (n *node) kill() {
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
}

func (n *node) dead() bool { return n.cmd.ProcessState != nil }

// answer asks the node for the zone's address; "" for no answer.
func (n *node) answer() string {
	q := new(dns.Msg).SetQuestion(zone+".", dns.TypeA)
	c := dns.Client{Timeout: 200 * time.Millisecond}
	reply, _, err := c.Exchange(q, n.dns)
	if err != nil || len(reply.Answer) != 1 {
		return ""
	}
	a, ok := reply.Answer[0].(*dns.A)
	if !ok {
		return ""
	}
	return a.A.String()
}

// explain is the node's account.
func (n *node) explain() (e traffic.Explanation, err error) {
	return e, n.get("/v1/explain", &e)
}

// leader is the node that decides by what the living say, "" for none that all of them name.
func (w *world) leader() string {
	leader := ""
	for _, n := range w.nodes {
		if n.dead() {
			continue
		}
		var v cluster.View
		if err := n.get("/v1/cluster", &v); err != nil || v.Leader == "" || leader != "" && v.Leader != leader {
			return ""
		}
		leader = v.Leader
	}
	return leader
}

func (n *node) get(path string, into any) error {
	req, err := http.NewRequest(http.MethodGet, "http://"+n.control+path, http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Proa-Node", n.name) // its own view
	client := http.Client{Timeout: 5 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s of %s: %s", path, n.name, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(into)
}

// settled waits until every node calls both regions healthy and answers with the same one.
func (w *world) settled() proa.Region {
	w.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		active, waits := w.agreement()
		if waits == "" {
			return active
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("not settled: %s", waits)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// agreement says what keeps the world from being settled, "" for nothing.
func (w *world) agreement() (active proa.Region, waits string) {
	for _, n := range w.nodes {
		e, err := n.explain()
		if err != nil {
			return active, err.Error()
		}
		for _, v := range e.Vantages {
			if v.Health != proa.Healthy {
				return active, fmt.Sprintf("%s hears that %s calls %s %s: %s", n.name, v.Vantage.Name,
					v.Region, v.Health, v.Reason)
			}
		}
		if active != "" && e.Plan.Active != active {
			return active, fmt.Sprintf("%s has %s active, not %s", n.name, e.Plan.Active, active)
		}
		active = e.Plan.Active
		if a := n.answer(); a != answers[active] {
			return active, fmt.Sprintf("%s answers %q", n.name, a)
		}
	}
	return active, ""
}

// flipped waits until every living node answers with the region, and returns when the last one did.
func (w *world) flipped(to proa.Region) time.Time {
	w.t.Helper()
	var last time.Time
	deadline := time.Now().Add(20 * time.Second)
	for _, n := range w.nodes {
		for !n.dead() && n.answer() != answers[to] {
			if time.Now().After(deadline) {
				w.t.Fatalf("%s never answered with %s", n.name, to)
			}
			time.Sleep(2 * time.Millisecond)
		}
		last = time.Now()
	}
	return last
}
