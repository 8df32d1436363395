package supervisor

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/atomicfile"
)

// State is DIR/supervisor.json: what `proa up` generated once and where the running system listens. It holds credentials and is
// readable by its owner only (mode 0600 in a folder of mode 0700).
type State struct {
	PID         int         `json:"pid"` // of the running supervisor; 0 when it has stopped
	Started     time.Time   `json:"started"`
	Token       string      `json:"token"` // of the supervisor's control socket
	Credentials Credentials `json:"credentials"`
	Addresses   Addresses   `json:"addresses"`
	// Provisioned identifies the function package and settings that the clouds were last given; "" for none.
	Provisioned string `json:"provisioned"`
}

// Credentials are random, generated once and kept.
type Credentials struct {
	AWSAccessKeyID     string `json:"aws_access_key_id"`
	AWSSecretAccessKey string `json:"aws_secret_access_key"`
	StorageAccount     string `json:"storage_account"`
	StorageKey         string `json:"storage_key"` // base64, 64 bytes
	CosmosKey          string `json:"cosmos_key"`  // base64, 64 bytes
	MonitorToken       string `json:"monitor_token"`
	NodeToken          string `json:"node_token"`     // of the node's control API
	AnnounceToken      string `json:"announce_token"` // of the node's announcement route and nothing else
}

// Addresses are where the system listens, host:port each.
type Addresses struct {
	Control      string `json:"control"` // the supervisor's control socket
	Node         string `json:"node"`    // the first node's control API
	Console      string `json:"console"` // the web console
	DNS          string `json:"dns"`
	AWS          string `json:"aws"`   // every AWS API
	Azure        string `json:"azure"` // Cosmos, Blob and Monitor
	AWSGateway   string `json:"aws_gateway"`
	AzureGateway string `json:"azure_gateway"`
	AWSProxy     string `json:"aws_proxy"`   // data sync's way to AWS, which a partition cuts
	AzureProxy   string `json:"azure_proxy"` // data sync's way to Azure
	// Nodes are all nodes' addresses, the first one's included.
	Nodes []NodeAddresses `json:"nodes"`
}

// NodeURLs are where every process reports what crosses the picture's arrows.
func (a Addresses) NodeURLs() []string {
	var list []string
	for _, n := range a.Nodes {
		list = append(list, "http://"+n.Control)
	}
	return list
}

// Gateway returns the region's gateway address.
func (a Addresses) Gateway(r proa.Region) string {
	if r == proa.AWS {
		return a.AWSGateway
	}
	return a.AzureGateway
}

func statePath(dir string) string { return filepath.Join(dir, "supervisor.json") }

// ReadState reads DIR/supervisor.json. Without one it says that nothing was started there.
func ReadState(dir string) (State, error) {
	var s State
	data, err := os.ReadFile(statePath(dir))
	if errors.Is(err, os.ErrNotExist) {
		return s, &proa.Error{
			Op: "find the system in " + dir, Err: proa.ErrNotFound,
			Hint: "start one with `proa up --dir " + dir + "`, or name its folder with --dir",
		}
	}
	if err != nil {
		return s, fmt.Errorf("read state: %w", err)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, &proa.Error{
			Op: "read " + statePath(dir), Err: fmt.Errorf("%w: %w", proa.ErrInvalid, err),
			Hint: "it was damaged or edited: restore it, or start anew with another --dir; what the clouds stored stays in " + dir,
		}
	}
	return s, nil
}

// save replaces the file atomically and durably.
func (s State) save(dir string) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	if err := atomicfile.Write(statePath(dir), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	return nil
}

// fill generates what the state lacks.
func (s *State) fill() {
	c := &s.Credentials
	set := func(field *string, make func() string) {
		if *field == "" {
			*field = make()
		}
	}
	set(&s.Token, func() string { return randomHex(32) })
	set(&c.AWSAccessKeyID, func() string { return "AKIA" + strings.ToUpper(randomHex(8)) })
	set(&c.AWSSecretAccessKey, func() string { return base64.StdEncoding.EncodeToString(randomBytes(30)) })
	set(&c.StorageAccount, func() string { return "proalocal" })
	set(&c.StorageKey, func() string { return base64.StdEncoding.EncodeToString(randomBytes(64)) })
	set(&c.CosmosKey, func() string { return base64.StdEncoding.EncodeToString(randomBytes(64)) })
	set(&c.MonitorToken, func() string { return randomHex(32) })
	set(&c.NodeToken, func() string { return randomHex(32) })
	set(&c.AnnounceToken, func() string { return randomHex(32) })
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand, Go 1.24)
	return b
}

func randomHex(n int) string { return hex.EncodeToString(randomBytes(n)) }

// lock takes DIR/lock for this process's life. The file names its holder.
func lock(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder := make([]byte, 32)
		n, _ := f.Read(holder)
		f.Close()
		return nil, &proa.Error{
			Op:   "start in " + dir,
			Err:  fmt.Errorf("another `proa up` (pid %s) runs there", strings.TrimSpace(string(holder[:n]))),
			Hint: "use that one (`proa status --dir " + dir + "`), stop it, or give another --dir and --ports auto",
		}
	}
	if err := f.Truncate(0); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if _, err := fmt.Fprintf(f, "%d\n", os.Getpid()); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return f, nil
}

// nameServers are all nodes' name servers.
func (a Addresses) nameServers() []string {
	var list []string
	for _, n := range a.Nodes {
		list = append(list, n.DNS)
	}
	return list
}
