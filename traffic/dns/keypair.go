package dns

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/filestamp"
)

// KeyPair is a certificate and its key in files (PEM) for DNS over TLS and HTTPS. They are read again once both have changed and
// fit each other: who renews certificates has no server started again.
type KeyPair struct {
	Certificate, Key string
	Clock            func() time.Time
	Logger           *slog.Logger

	mu     sync.Mutex
	pair   *tls.Certificate
	stamps [2]filestamp.Stamp
	looked time.Time
}

// keyPairLook is how often the files are looked at, at most.
const keyPairLook = time.Second

// TLS reads the files and returns a configuration that follows them. It fails with proa.ErrInvalidConfig where they cannot be
// used.
func (k *KeyPair) TLS() (*tls.Config, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.read(); err != nil {
		return nil, fmt.Errorf("certificate: %w: %w", proa.ErrInvalidConfig, err)
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return k.current(), nil },
	}, nil
}

// current is the newest certificate that could be used.
func (k *KeyPair) current() *tls.Certificate {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := k.Clock(); now.Sub(k.looked).Abs() >= keyPairLook {
		k.looked = now
		stamps := [2]filestamp.Stamp{filestamp.Of(k.Certificate), filestamp.Of(k.Key)}
		if stamps == k.stamps {
			return k.pair
		}
		if err := k.read(); err != nil {
			k.Logger.Error("certificate refused, the last good one serves on", "file", k.Certificate, "err", err)
		} else {
			k.Logger.Info("certificate loaded again", "file", k.Certificate)
		}
	}
	return k.pair
}

func (k *KeyPair) read() error {
	k.stamps = [2]filestamp.Stamp{filestamp.Of(k.Certificate), filestamp.Of(k.Key)}
	pair, err := tls.LoadX509KeyPair(k.Certificate, k.Key)
	if err != nil {
		return err
	}
	k.pair = &pair
	return nil
}
