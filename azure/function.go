package azure

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// Function is one HTTP-triggered function of a Functions app as a cloud.Function.
type Function struct {
	url    string
	key    proa.Secret
	config Config
	client *http.Client
}

var _ cloud.Function = (*Function)(nil)

// maxAnswer bounds a function's answer: Functions itself gives up to 100 MB, far more than an invocation by proa needs.
const maxAnswer = 16 << 20

// NewFunction opens a function by its URL. key is its function or host key, if it asks for one. It makes no call.
func NewFunction(c Config, url string, key proa.Secret) *Function {
	return &Function{url: url, key: key, config: c, client: c.client()}
}

// Invoke posts the payload and returns the answer's body. An answer that is not 2xx is an error that holds its body's beginning.
func (f *Function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, f.config.timeout())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url, bytes.NewReader(payload))
	if err != nil {
		return nil, fail("invoke function", f.url, fmt.Errorf("%w: %w", proa.ErrInvalid, err))
	}
	req.Header.Set("Content-Type", "application/json")
	if !f.key.IsZero() {
		req.Header.Set("X-Functions-Key", f.key.Reveal())
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, fail("invoke function", f.url, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fail("invoke function", f.url, err)
	case len(answer) > maxAnswer:
		return nil, fail("invoke function", f.url, fmt.Errorf("answer above %d bytes: %w", maxAnswer, proa.ErrTooLarge))
	case resp.StatusCode/100 != 2:
		return answer, fail("invoke function", f.url,
			fmt.Errorf("%w: HTTP %d: %.512s", kindOfStatus(resp.StatusCode), resp.StatusCode, answer))
	}
	return answer, nil
}

func kindOfStatus(status int) error {
	switch {
	case status == http.StatusNotFound:
		return proa.ErrNotFound
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return proa.ErrUnauthorized
	case status == http.StatusTooManyRequests:
		return proa.ErrThrottled
	case status == http.StatusRequestEntityTooLarge:
		return proa.ErrTooLarge
	case status >= 500:
		return proa.ErrUnavailable
	}
	return proa.ErrInvalid
}
