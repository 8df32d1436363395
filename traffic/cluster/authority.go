package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/atomicfile"
)

// Validity of what Issue makes.
const (
	authorityYears = 10
	nodeYears      = 2
	renewBefore    = 60 * 24 * time.Hour
)

// The names of the files that Issue writes.
const (
	caFile          = "ca.crt"
	caKeyFile       = "ca.key"
	certificateFile = "node.crt"
	keyFile         = "node.key"
)

var nodeName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)

// FilesIn are the credentials that Issue writes to a node's folder.
func FilesIn(dir string) Files {
	return Files{
		CA: filepath.Join(dir, caFile), Certificate: filepath.Join(dir, certificateFile),
		Key: filepath.Join(dir, keyFile),
	}
}

// Issue makes credentials for the named node in dir, signed by the authority in authorityDir, which
// it makes where there is none. Credentials that are good for another 60 days are kept unless renew
// is set. Keys are readable by their owner only; the authority's key need not be on any node.
func Issue(authorityDir, dir, name string, now time.Time, renew bool) error {
	if !nodeName.MatchString(name) {
		return fmt.Errorf("node name %q: want letters a-z, digits, dots and dashes: %w", name,
			proa.ErrInvalid)
	}
	for _, d := range []string{authorityDir, dir} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return fmt.Errorf("credentials' folder: %w", err)
		}
	}
	ca, key, err := authority(authorityDir, now)
	if err != nil {
		return err
	}
	if !renew && good(FilesIn(dir), ca, name, now) {
		return nil
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: now.AddDate(0, 0, -1), NotAfter: now.AddDate(nodeYears, 0, 0),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if template.NotAfter.After(ca.NotAfter) {
		template.NotAfter = ca.NotAfter
	}
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, &own.PublicKey, key)
	if err != nil {
		return fmt.Errorf("sign a certificate: %w", err)
	}
	f := FilesIn(dir)
	return errors.Join(writeKey(f.Key, own), writeFile(f.CA, pemFile("CERTIFICATE", ca.Raw)),
		writeFile(f.Certificate, pemFile("CERTIFICATE", der)))
}

// authority reads the signing certificate and its key, or makes them.
func authority(dir string, now time.Time) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	certPath, keyPath := filepath.Join(dir, caFile), filepath.Join(dir, caKeyFile)
	pair, err := tls.LoadX509KeyPair(certPath, keyPath)
	if err == nil {
		key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
		if !ok || !pair.Leaf.IsCA {
			return nil, nil, fmt.Errorf("%s: not an authority with an ECDSA key: %w", certPath, proa.ErrInvalid)
		}
		return pair.Leaf, key, nil
	}
	if _, serr := os.Stat(certPath); serr == nil { // never replace an authority that nodes trust
		return nil, nil, &proa.Error{
			Op: "read the nodes' authority", Key: dir, Err: fmt.Errorf("%w: %w", proa.ErrInvalid, err),
			Hint: "certificates are signed where " + caKeyFile + " is; restore it, or remove both files to begin anew",
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "proa nodes"}, IsCA: true,
		BasicConstraintsValid: true, MaxPathLenZero: true,
		NotBefore: now.AddDate(0, 0, -1), NotAfter: now.AddDate(authorityYears, 0, 0),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, fmt.Errorf("sign a certificate: %w", err)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("read the certificate back: %w", err)
	}
	err = errors.Join(writeKey(keyPath, key), writeFile(certPath, pemFile("CERTIFICATE", der)))
	return ca, key, err
}

// good reports whether a node's credentials fit and last for a while.
func good(f Files, ca *x509.Certificate, name string, now time.Time) bool {
	pair, err := tls.LoadX509KeyPair(f.Certificate, f.Key)
	if err != nil || pair.Leaf.VerifyHostname(name) != nil || pair.Leaf.CheckSignatureFrom(ca) != nil {
		return false
	}
	if _, err := os.Stat(f.CA); err != nil {
		return false
	}
	last := now.Add(renewBefore)
	if ca.NotAfter.Before(last) {
		last = now
	}
	return pair.Leaf.NotAfter.After(last)
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err) // crypto/rand never fails (Go 1.24)
	}
	return n
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return writeFile(path, pemFile("PRIVATE KEY", der))
}

func writeFile(path string, content []byte) error { return atomicfile.Write(path, content, 0o600) }
