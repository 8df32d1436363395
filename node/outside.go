package node

import (
	"crypto/subtle"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/console"
	"github.com/proa-cloud/proa/traffic/cluster"
)

// How long a request's body may take to come: of one that was let in, and of any other.
const (
	bodyPatience      = 30 * time.Second
	strangersPatience = time.Second
)

// fromOutside lets in who has a token, before anything is read, waited for or counted for them; each route asks for its own
// token again. What only nodes and the console may say of a request is taken out of it.
func fromOutside(control, announce proa.Secret, patience time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !bears(r, control) && !bears(r, announce) {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(strangersPatience)) // the server reads on before it answers
			unauthorized(w)
			return
		}
		r.Header.Del(cluster.FromHeader)
		r.Header.Del(console.NotedHeader)
		next.ServeHTTP(w, withPatience(w, r, patience))
	})
}

// bears reports whether a request has the token. An empty token opens nothing.
func bears(r *http.Request, token proa.Secret) bool {
	want := []byte("Bearer " + token.Reveal())
	return !token.IsZero() && subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) == 1
}

func unauthorized(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", "Bearer")
	http.Error(w, `{"error":"missing or wrong token"}`, http.StatusUnauthorized)
}

// withPatience bounds how long the body may take. The handler's own time is not bounded: a deep comparison takes minutes.
func withPatience(w http.ResponseWriter, r *http.Request, patience time.Duration) *http.Request {
	if r.Body == nil || r.Body == http.NoBody {
		return r
	}
	conn := http.NewResponseController(w)
	// The console's requests come over no connection and have no deadline: their bodies are in memory.
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	r.Body = &slowBody{r.Body, conn}
	return r
}

// slowBody has a deadline until it has been read.
type slowBody struct {
	io.ReadCloser
	conn *http.ResponseController
}

func (b *slowBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.conn.SetReadDeadline(time.Time{})
	}
	return n, err
}
