package dns

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
)

// writePair writes a new certificate and its key, and returns who trusts it.
func writePair(t *testing.T, pair *KeyPair) *x509.CertPool {
	t.Helper()
	config, pool := testTLS(t)
	cert := config.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		pair.Certificate: {Type: "CERTIFICATE", Bytes: cert.Certificate[0]}, pair.Key: {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return pool
}

func TestARenewedCertificateIsServedWithoutARestart(t *testing.T) {
	dir := t.TempDir()
	start := time.Now()
	var later atomic.Int64
	pair := &KeyPair{
		Certificate: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), Logger: slog.New(slog.DiscardHandler),
		Clock: func() time.Time { return start.Add(time.Duration(later.Add(2)) * time.Second) },
	}
	if _, err := pair.TLS(); !errors.Is(err, proa.ErrInvalidConfig) {
		t.Errorf("without files: %v", err)
	}
	pool := writePair(t, pair)
	config, err := pair.TLS()
	if err != nil {
		t.Fatal(err)
	}
	s, _ := serveStreams(t, func(c *Config) { c.TLS = config })
	shakes := func(pool *x509.CertPool) error {
		var err error
		for _, a := range s.StreamAddrs() {
			conn, dialErr := tls.Dial("tcp", a.String(), &tls.Config{RootCAs: pool})
			if dialErr == nil {
				_ = conn.Close()
			}
			err = errors.Join(err, dialErr)
		}
		return err
	}
	if err := shakes(pool); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(pair.Key, []byte("half a"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := shakes(pool); err != nil {
		t.Errorf("a file that is half written is served: %v", err)
	}
	renewed := writePair(t, pair)
	if err := shakes(renewed); err != nil {
		t.Errorf("the renewed one is not: %v", err)
	}
	if err := shakes(pool); err == nil {
		t.Error("the old one still is")
	}
}
