package blob_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/proa-cloud/proa/azure/local/blob"
)

// peers returns the folder in which tools of other ecosystems are installed, or skips the test.
func peers(t *testing.T) string {
	t.Helper()
	if os.Getenv("PROA_PEERS") == "" {
		t.Skip("set PROA_PEERS=1 to test against the vendor's other clients and Azurite")
	}
	dir := filepath.Join(os.TempDir(), "proa-peers")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func command(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return out
}

func TestTheVendorsPythonClientWorks(t *testing.T) {
	dir := filepath.Join(peers(t), "python")
	if _, err := os.Stat(filepath.Join(dir, "azure", "storage", "blob")); err != nil {
		command(t, "python3", "-m", "pip", "install", "-q", "--target", dir, "azure-storage-blob==12.31.1")
	}
	s := start(t, blob.Config{Versioning: true})
	script, err := filepath.Abs(filepath.Join("testdata", "smoke.py"))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PYTHONPATH", dir)
	out := command(t, "python3", script, "DefaultEndpointsProtocol=http;AccountName="+account+
		";AccountKey="+key()+";BlobEndpoint="+s.url+";")
	if !strings.HasSuffix(string(out), "all good\n") {
		t.Errorf("the script says %s", out)
	}
}

// azurite starts Microsoft's emulator and returns its account's URL.
func azurite(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(peers(t), "npm")
	script := filepath.Join(dir, "node_modules", "azurite", "dist", "src", "blob", "main.js")
	if _, err := os.Stat(script); err != nil {
		command(t, "npm", "install", "--no-audit", "--no-fund", "--prefix", dir, "azurite@3.37.0")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", script, "--inMemoryPersistence", "--silent",
		"--skipApiVersionCheck", "--blobHost", "127.0.0.1", "--blobPort", strconv.Itoa(port))
	cmd.Env = append(os.Environ(), "AZURITE_ACCOUNTS="+account+":"+key())
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed: the error is known
	})
	address := "127.0.0.1:" + strconv.Itoa(port)
	deadline := time.Now().Add(time.Minute)
	for {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			conn.Close()
			return "http://" + address + "/" + account
		}
		if time.Now().After(deadline) {
			t.Fatalf("azurite does not start: %s", out.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// step is one request of the corpus. "$etag", "$snapshot" and "$lease" stand for what the last answers
// said, and "$url" for the account's URL.
type step struct {
	method, path string
	headers      []string // name and value in turn
	body         string
}

// reply is what is compared of an answer.
type reply struct {
	status  int
	code    string
	headers http.Header
	body    string
}

// peer is one of the two servers that are compared.
type peer struct {
	url  string
	vars map[string]string
}

func (p *peer) expand(text string) string {
	for name, value := range p.vars {
		text = strings.ReplaceAll(text, "$"+name, value)
	}
	return strings.ReplaceAll(text, "$url", p.url)
}

// do signs and sends one request.
func (p *peer) do(t *testing.T, s step) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), s.method, p.url+p.expand(s.path),
		strings.NewReader(s.body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("x-ms-version", "2024-11-04")
	r.Header.Set("x-ms-date", time.Now().UTC().Format(http.TimeFormat))
	for i := 0; i+1 < len(s.headers); i += 2 {
		r.Header.Set(s.headers[i], p.expand(s.headers[i+1]))
	}
	r.Header.Set("Authorization", "SharedKey "+account+":"+signature(r))
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for name, header := range map[string]string{
		"etag": "ETag", "snapshot": "x-ms-snapshot", "lease": "x-ms-lease-id",
	} {
		if v := response.Header.Get(header); v != "" {
			p.vars[name] = v
		}
	}
	return reply{response.StatusCode, response.Header.Get("x-ms-error-code"), response.Header, string(body)}
}

// signature is an independent Shared Key signature.
func signature(r *http.Request) string {
	h := r.Header
	length := ""
	if r.ContentLength > 0 {
		length = strconv.FormatInt(r.ContentLength, 10)
	}
	var names []string
	for name := range h {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-ms-") {
			names = append(names, lower)
		}
	}
	slices.Sort(names)
	text := strings.Join([]string{
		r.Method, h.Get("Content-Encoding"), h.Get("Content-Language"), length, h.Get("Content-MD5"),
		h.Get("Content-Type"), "", h.Get("If-Modified-Since"), h.Get("If-Match"),
		h.Get("If-None-Match"), h.Get("If-Unmodified-Since"), h.Get("Range"),
	}, "\n") + "\n"
	for _, name := range names {
		text += name + ":" + h.Get(name) + "\n"
	}
	text += "/" + account + r.URL.EscapedPath()
	query := r.URL.Query()
	keys := make([]string, 0, len(query))
	for name := range query {
		keys = append(keys, name)
	}
	slices.Sort(keys)
	for _, name := range keys {
		text += "\n" + name + ":" + strings.Join(query[name], ",")
	}
	secret, _ := base64.StdEncoding.DecodeString(key())
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// compared are the headers whose presence, or whose value, must agree.
func compared(r reply) map[string]string {
	out := map[string]string{}
	for _, name := range []string{"ETag", "Last-Modified", "x-ms-snapshot", "x-ms-lease-id", "x-ms-copy-id"} {
		if r.headers.Get(name) != "" {
			out[name] = "present"
		}
	}
	for _, name := range []string{
		"Content-MD5", "Content-Range", "x-ms-blob-type", "x-ms-lease-state", "x-ms-lease-status",
		"x-ms-lease-duration", "x-ms-blob-content-md5", "x-ms-copy-status", "Content-Encoding",
		"Content-Disposition", "Cache-Control", "Content-Language", "x-ms-meta-a",
		"x-ms-blob-append-offset", "x-ms-blob-committed-block-count", "x-ms-lease-time",
	} {
		if v := r.headers.Get(name); v != "" {
			out[name] = v
		}
	}
	return out
}

// namesIn finds the names in a listing or block list, in order.
func namesIn(body string) string {
	if !strings.Contains(body, "<?xml") {
		return body
	}
	if strings.Contains(body, "<Error>") {
		return ""
	}
	found := regexp.MustCompile(`<(Name|Size|Snapshot)>([^<]*)<`).FindAllStringSubmatch(body, -1)
	var out []string
	for _, f := range found {
		if f[1] != "Snapshot" {
			out = append(out, f[2])
		} else {
			out = append(out, "snapshot")
		}
	}
	return strings.Join(out, "\n")
}

func TestTheCorpusIsAnsweredAsAzuriteDoes(t *testing.T) {
	ours := &peer{start(t, blob.Config{}).url, map[string]string{}}
	theirs := &peer{azurite(t), map[string]string{}}
	explained := differences()
	used := map[string]bool{}
	for i, s := range corpus() {
		name := strings.TrimSpace(strings.Join(
			append([]string{s.method, s.path, s.body}, s.headers...), " "))
		a, b := ours.do(t, s), theirs.do(t, s)
		got := describe(a)
		want := describe(b)
		if got == want {
			continue
		}
		reason, known := explained[name]
		used[name] = known
		if !known {
			t.Errorf("step %d, %s\n ours: %s\n azurite: %s", i, name, got, want)
			continue
		}
		t.Logf("step %d, %s: %s\n ours: %s\n azurite: %s", i, name, reason, got, want)
	}
	for name := range explained {
		if !used[name] {
			t.Errorf("explained, but the same: %s", name)
		}
	}
}

func describe(r reply) string {
	h := compared(r)
	names := make([]string, 0, len(h))
	for name, value := range h {
		names = append(names, name+"="+value)
	}
	slices.Sort(names)
	return fmt.Sprintf("%d %s %s %s", r.status, r.code, strings.Join(names, " "), strconv.Quote(namesIn(r.body)))
}

// q escapes a query value.
func q(s string) string { return url.QueryEscape(s) }
