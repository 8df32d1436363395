package bus

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// Webhook posts each event to a URL in CloudEvents' structured mode, signed as Standard Webhooks
// says: webhook-signature is "v1," and the base64 of HMAC-SHA-256 over "id.timestamp.body".
// Redirects are not followed. 2xx is taken; 408, 425, 429 and 5xx are tried again; any other answer
// is a refusal. https://www.standardwebhooks.com
type Webhook struct {
	URL    string
	Secret proa.Secret
	Clock  func() time.Time
	Client *http.Client // its CheckRedirect is ignored
}

// Send posts the messages one by one. Where one fails, those before it may come again.
func (w *Webhook) Send(ctx context.Context, batch []Message) error {
	for _, m := range batch {
		if err := w.post(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// Sign returns the signature of one request.
func Sign(secret proa.Secret, id, timestamp string, body []byte) string {
	sum := hmac.New(sha256.New, []byte(secret.Reveal()))
	fmt.Fprintf(sum, "%s.%s.", id, timestamp)
	sum.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(sum.Sum(nil))
}

func (w *Webhook) post(ctx context.Context, m Message) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(m.Body))
	if err != nil {
		return fmt.Errorf("webhook: %w: %w", proa.ErrInvalid, err)
	}
	id := "proa-" + m.ID
	at := strconv.FormatInt(w.Clock().Unix(), 10)
	req.Header.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", at)
	req.Header.Set("Webhook-Signature", Sign(w.Secret, id, at, m.Body))
	client := *w.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("webhook: %w: %w", proa.ErrUnavailable, err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 512)) // the answer's beginning, for the reason
	switch code := resp.StatusCode; {
	case code/100 == 2:
		return nil
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code >= 500,
		code == http.StatusTooManyRequests:
		return fmt.Errorf("webhook: HTTP %d: %.200s: %w", code, text, proa.ErrUnavailable)
	default:
		return fmt.Errorf("webhook: HTTP %d: %.200s: %w", code, text, proa.ErrInvalid)
	}
}

// Function invokes a function of either cloud with each event.
type Function struct{ Function cloud.Function }

// Send invokes the function with the messages one by one.
func (f Function) Send(ctx context.Context, batch []Message) error {
	for _, m := range batch {
		if _, err := f.Function.Invoke(ctx, m.Body); err != nil {
			return err
		}
	}
	return nil
}
