package console

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/proa-cloud/proa"
)

// The sessions' bounds.
const (
	codeLife     = 10 * time.Minute
	sessionLife  = 12 * time.Hour
	maxCodes     = 16
	maxRevoked   = 1024
	loginsPerMin = 10 // failed ones
	cookieName   = "proa_console"
)

// sessions issues one-time codes and signed cookies. The signing key comes from the control token: a session outlives the node's
// restart, is good at every node with that token, and ends when the token is changed.
type sessions struct {
	token, key []byte
	clock      func() time.Time

	mu      sync.Mutex
	codes   map[[32]byte]time.Time // by hash; until when
	revoked map[string]time.Time   // sessions that were closed; until when they would have lasted
	failed  []time.Time
}

func newSessions(token proa.Secret, clock func() time.Time) *sessions {
	s := &sessions{
		token: []byte(token.Reveal()), clock: clock,
		codes: map[[32]byte]time.Time{}, revoked: map[string]time.Time{},
	}
	s.key = s.mac([]byte(token.Reveal()), "proa console sessions, version 1")
	return s
}

func (s *sessions) mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand, Go 1.24)
	return b
}

var encoding = base64.RawURLEncoding

func (s *sessions) newCode() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	for hash, until := range s.codes {
		if now.After(until) {
			delete(s.codes, hash)
		}
	}
	if len(s.codes) >= maxCodes {
		return "", fmt.Errorf("%d unused login links are open; use one, or wait %s: %w", maxCodes, codeLife, proa.ErrThrottled)
	}
	code := encoding.EncodeToString(random(24))
	s.codes[sha256.Sum256([]byte(code))] = now.Add(codeLife)
	return code, nil
}

var (
	errLogin  = errors.New("this link was used already or has expired; `proa console` makes a new one")
	errToken  = errors.New("this is not the node's control token")
	errLogins = errors.New("too many failed logins; wait a minute")
)

// redeem takes a code out of use.
func (s *sessions) redeem(code string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.overLimit() {
		return errLogins
	}
	hash := sha256.Sum256([]byte(code))
	until, ok := s.codes[hash]
	delete(s.codes, hash)
	if !ok || s.clock().After(until) {
		s.failed = append(s.failed, s.clock())
		return errLogin
	}
	return nil
}

// check compares a token.
func (s *sessions) check(token string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.overLimit() {
		return errLogins
	}
	if subtle.ConstantTimeCompare([]byte(token), s.token) != 1 {
		s.failed = append(s.failed, s.clock())
		return errToken
	}
	return nil
}

func (s *sessions) overLimit() bool {
	since := s.clock().Add(-time.Minute)
	for len(s.failed) > 0 && s.failed[0].Before(since) {
		s.failed = s.failed[1:]
	}
	return len(s.failed) >= loginsPerMin
}

// session is who is logged in.
type session struct {
	id    string
	until time.Time
}

// begin sets the cookie of a new session.
func (s *sessions) begin(w http.ResponseWriter) {
	until := s.clock().Add(sessionLife)
	body := binary.BigEndian.AppendUint64(random(16), uint64(until.Unix()))
	text := encoding.EncodeToString(body)
	value := text + "." + encoding.EncodeToString(s.mac(s.key, "session "+text))
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode,
		MaxAge: int(sessionLife.Seconds()),
	})
}

// of finds the request's session.
func (s *sessions) of(r *http.Request) (session, bool) {
	cookie, err := r.Cookie(cookieName)
	if err != nil || len(cookie.Value) > 256 {
		return session{}, false
	}
	var text, mac string
	for i := range cookie.Value {
		if cookie.Value[i] == '.' {
			text, mac = cookie.Value[:i], cookie.Value[i+1:]
		}
	}
	got, err := encoding.DecodeString(mac)
	if err != nil || !hmac.Equal(got, s.mac(s.key, "session "+text)) {
		return session{}, false
	}
	body, err := encoding.DecodeString(text)
	if err != nil || len(body) != 24 {
		return session{}, false
	}
	out := session{id: text, until: time.Unix(int64(binary.BigEndian.Uint64(body[16:])), 0)}
	s.mu.Lock()
	_, revoked := s.revoked[text]
	s.mu.Unlock()
	return out, !revoked && s.clock().Before(out.until)
}

// csrf is the session's token against requests that the user did not mean.
func (s *sessions) csrf(of session) string {
	return encoding.EncodeToString(s.mac(s.key, "csrf "+of.id))
}

// end closes a session.
func (s *sessions) end(w http.ResponseWriter, of session) {
	s.mu.Lock()
	now := s.clock()
	for id, until := range s.revoked {
		if now.After(until) {
			delete(s.revoked, id)
		}
	}
	if len(s.revoked) < maxRevoked {
		s.revoked[of.id] = of.until
	}
	s.mu.Unlock()
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, MaxAge: -1,
	})
}

// name is how a session appears in the audit: enough to tell two apart, not enough to use.
func (of session) name() string {
	sum := sha256.Sum256([]byte(of.id))
	return "console " + fmt.Sprintf("%x", sum[:3])
}
