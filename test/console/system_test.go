package console

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	proc "github.com/proa-cloud/proa/test/internal/system"
)

// system is one running `proa up`.
type system struct {
	t   testing.TB
	bin string
	dir string
	out *proc.Output
}

// up runs the built binary on free ports until the test ends.
func up(t testing.TB, flags ...string) *system {
	t.Helper()
	s := &system{t: t, bin: proc.Binary(t), dir: filepath.Join(t.TempDir(), "p"), out: &proc.Output{}}
	cmd := exec.Command(s.bin, append([]string{"up", "--dir", s.dir, "--ports", "auto"}, flags...)...)
	cmd.Stdout, cmd.Stderr = s.out, s.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		timer := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("proa up ended with %v\n%s", err, s.out)
		}
	})
	for deadline := time.Now().Add(60 * time.Second); !strings.Contains(s.out.String(), "/login?code="); {
		if time.Now().After(deadline) {
			t.Fatalf("proa up printed no link to the console:\n%s", s.out)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return s
}

// link is the one that `proa up` printed.
func (s *system) link() string {
	for line := range strings.Lines(s.out.String()) {
		if strings.Contains(line, "/login?code=") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// state is what a running system writes down.
type state struct {
	Addresses struct {
		DNS          string `json:"dns"`
		AWSGateway   string `json:"aws_gateway"`
		AzureGateway string `json:"azure_gateway"`
		Nodes        []struct {
			Name    string `json:"name"`
			Control string `json:"control"`
		} `json:"nodes"`
	} `json:"addresses"`
	Credentials struct {
		NodeToken string `json:"node_token"`
	} `json:"credentials"`
}

func (s *system) state() state {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, "supervisor.json"))
	var st state
	if err == nil {
		err = json.Unmarshal(data, &st)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return st
}

// linkOf asks one of several nodes for a link to its own console.
func (s *system) linkOf(node int) string {
	s.t.Helper()
	link, why := s.askLink(node)
	if link == "" {
		s.t.Fatalf("link of node %d: %s", node, why)
	}
	return link
}

// gateway is a region's, as host:port.
func (s *system) gateway(region string) string {
	if region == "aws" {
		return s.state().Addresses.AWSGateway
	}
	return s.state().Addresses.AzureGateway
}

// order stores an order through a region's gateway, retrying while that is being started.
func (s *system) order(region, body string) {
	s.t.Helper()
	last := ""
	for range 100 {
		resp, err := http.Post("http://"+s.gateway(region)+"/orders", "application/json", strings.NewReader(body))
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusCreated {
				return
			}
			last = resp.Status
		} else {
			last = err.Error()
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.t.Fatalf("order at %s: %s", region, last)
}

// users keeps a few users busy until the context ends: each asks the name server where to go, and goes there.
func (s *system) users(ctx context.Context, perSecond int) {
	client := &http.Client{Timeout: time.Second}
	_, port, _ := net.SplitHostPort(s.gateway("aws"))
	ticker := time.NewTicker(time.Second / time.Duration(perSecond))
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		method, path, body := http.MethodGet, "/orders?limit=2", ""
		if n%3 == 0 {
			method, path, body = http.MethodPost, "/orders", `{"item":"anchor","quantity":3}`
		}
		req, err := http.NewRequestWithContext(ctx, method, "http://"+net.JoinHostPort(s.resolve(), port)+path, strings.NewReader(body))
		if err != nil {
			continue
		}
		if resp, err := client.Do(req); err == nil {
			resp.Body.Close()
		}
	}
}

// resolve asks the first name server.
func (s *system) resolve() string {
	server := s.state().Addresses.DNS
	question := new(dns.Msg).SetQuestion("orders.proa.test.", dns.TypeA)
	reply, err := dns.Exchange(question, server)
	if err != nil {
		return ""
	}
	for _, rr := range reply.Answer {
		if a, ok := rr.(*dns.A); ok {
			return a.A.String()
		}
	}
	return ""
}

// want waits until a region's gateway answers with a text.
func want(t testing.TB, s *system, region, path, part string) {
	t.Helper()
	last := ""
	for range 200 {
		resp, err := http.Get("http://" + s.gateway(region) + path)
		if err == nil {
			var text bytes.Buffer
			_, _ = text.ReadFrom(resp.Body)
			resp.Body.Close()
			if last = text.String(); strings.Contains(last, part) {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("%s at %s says %q, want %s in it", path, region, last, part)
}
