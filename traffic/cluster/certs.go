package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/proa-cloud/proa"
)

// Files name a node's credentials, PEM each. They are read again when they change, so rotating
// them needs no restart; CA may hold several certificates while one replaces another.
type Files struct {
	CA          string `json:"ca"`          // who signs the nodes' certificates
	Certificate string `json:"certificate"` // this node's; its DNS names hold the node's name and no other node's
	Key         string `json:"key"`
}

// rereadEvery bounds how often the files are looked at.
const rereadEvery = time.Second

// credentials holds what the files said last.
type credentials struct {
	files Files
	clock func() time.Time

	mu      sync.Mutex
	looked  time.Time
	stamp   [3]time.Time
	pair    *tls.Certificate
	pool    *x509.CertPool
	lastErr error
}

func newCredentials(files Files, clock func() time.Time) (*credentials, error) {
	c := &credentials{files: files, clock: clock}
	if _, _, err := c.get(); err != nil {
		return nil, err
	}
	return c, nil
}

// get returns the present credentials. Files that cannot be read or do not fit together leave the
// last good ones in use; trouble tells.
func (c *credentials) get() (*tls.Certificate, *x509.CertPool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.clock(); c.pair == nil || now.Sub(c.looked).Abs() >= rereadEvery {
		c.looked = now
		if err := c.rereadLocked(); err != nil {
			c.lastErr = err
			if c.pair == nil {
				return nil, nil, err
			}
		}
	}
	return c.pair, c.pool, nil
}

func (c *credentials) rereadLocked() error {
	var stamp [3]time.Time
	for i, name := range []string{c.files.CA, c.files.Certificate, c.files.Key} {
		info, err := os.Stat(name)
		if err != nil {
			return &proa.Error{
				Op: "read the node's credentials", Err: fmt.Errorf("%w: %w", proa.ErrInvalidConfig, err),
				Hint: "make them with `proa node cert`",
			}
		}
		stamp[i] = info.ModTime()
	}
	if c.pair != nil && stamp == c.stamp {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.files.Certificate, c.files.Key)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", c.files.Certificate, proa.ErrInvalidConfig, err)
	}
	pool, err := readPool(c.files.CA)
	if err != nil {
		return err
	}
	c.pair, c.pool, c.stamp, c.lastErr = &pair, pool, stamp, nil
	return nil
}

func readPool(file string) (*x509.CertPool, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", proa.ErrInvalidConfig, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s: no certificate in it: %w", file, proa.ErrInvalidConfig)
	}
	return pool, nil
}

// trouble says what is wrong with the files or will be soon, "" for nothing.
func (c *credentials) trouble() string {
	pair, _, err := c.get()
	if err != nil {
		return err.Error()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lastErr != nil {
		return "the last good credentials are in use: " + c.lastErr.Error()
	}
	switch left := pair.Leaf.NotAfter.Sub(c.clock()); {
	case left <= 0:
		return "the certificate ended at " + pair.Leaf.NotAfter.UTC().Format(time.RFC3339)
	case left < 14*24*time.Hour:
		return fmt.Sprintf("the certificate ends in %s: make a new one with `proa node cert`",
			left.Round(time.Hour))
	}
	return ""
}

// server is the listener's configuration: nobody without a certificate of a configured node.
func (c *credentials) server(names []string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			pair, pool, err := c.get()
			if err != nil {
				return nil, err
			}
			return &tls.Config{
				MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*pair}, ClientCAs: pool,
				ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{protocol, "http/1.1"},
				SessionTicketsDisabled: true, Time: c.clock,
				VerifyConnection: func(s tls.ConnectionState) error {
					_, err := peerName(s, names)
					return err
				},
			}, nil
		},
	}
}

// client is the configuration for a connection to the named node.
func (c *credentials) client(name, proto string) (*tls.Config, error) {
	pair, pool, err := c.get()
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*pair}, RootCAs: pool,
		ServerName: name, NextProtos: []string{proto}, Time: c.clock,
	}, nil
}

// peerName is the configured node that the other side's certificate names. One that names several
// could speak for each of them, and is refused.
func peerName(s tls.ConnectionState, names []string) (string, error) {
	if len(s.PeerCertificates) == 0 {
		return "", errors.New("no certificate")
	}
	found := ""
	for _, n := range s.PeerCertificates[0].DNSNames {
		switch {
		case !slices.Contains(names, n):
		case found != "" && found != n:
			return "", fmt.Errorf("the certificate names both %s and %s", found, n)
		default:
			found = n
		}
	}
	if found == "" {
		return "", fmt.Errorf("the certificate names %q: none is a configured node",
			s.PeerCertificates[0].DNSNames)
	}
	return found, nil
}

// plainError turns a TLS failure into words that say what to do.
func plainError(err error) string {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var wrong x509.HostnameError
	var op *net.OpError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "its certificate has expired or is not valid yet: " + invalid.Error()
	case errors.As(err, &unknown):
		return "its certificate is of an authority that is not in this node's CA file"
	case errors.As(err, &wrong):
		return "its certificate is for another node: " + wrong.Error()
	case errors.As(err, &op) && op.Op == "remote error":
		return "it refuses this node's certificate: " + op.Err.Error()
	}
	return err.Error()
}

func pemFile(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
