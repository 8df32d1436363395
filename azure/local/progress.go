package local

import (
	"io"
	"net/http"
	"time"
)

// stallLimit is how long one read of a request's body or one write of an answer may take. The whole
// may take as long as it needs: blobs are large and links slow.
const stallLimit = 60 * time.Second

// keepMoving breaks off connections whose peer neither sends nor takes anything for stallLimit, so
// that stalled peers cannot use up the connections.
func keepMoving(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = &movingBody{r.Body, control}
		}
		h.ServeHTTP(&movingWriter{w, control}, r)
	})
}

// movingBody sets the deadline for each read alone: one that stood beyond it would end a request
// whose handler is still at work.
type movingBody struct {
	io.ReadCloser
	control *http.ResponseController
}

// Read reads a part of the body.
func (b *movingBody) Read(p []byte) (int, error) {
	// A connection that cannot have a deadline goes without: httptest's recorders.
	_ = b.control.SetReadDeadline(time.Now().Add(stallLimit))
	n, err := b.ReadCloser.Read(p)
	_ = b.control.SetReadDeadline(time.Time{})
	return n, err
}

type movingWriter struct {
	http.ResponseWriter
	control *http.ResponseController
}

// Write writes a part of the answer.
func (w *movingWriter) Write(p []byte) (int, error) {
	_ = w.control.SetWriteDeadline(time.Now().Add(stallLimit))
	n, err := w.ResponseWriter.Write(p)
	_ = w.control.SetWriteDeadline(time.Time{})
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (w *movingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
