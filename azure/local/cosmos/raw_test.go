package cosmos

import (
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// rawResponse is an HTTP response with its body read.
type rawResponse struct {
	*http.Response
	text string
}

// raw sends one request as it is.
func (e *env) raw(method, path, body string, headers map[string]string) rawResponse {
	e.t.Helper()
	req, err := http.NewRequestWithContext(background(), method, e.web.URL+path,
		strings.NewReader(body))
	e.must(err)
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	e.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	e.must(err)
	return rawResponse{resp, string(text)}
}

// substatus is the x-ms-substatus of an SDK's error.
func substatus(err error) string {
	var re *azcore.ResponseError
	if !errors.As(err, &re) {
		return ""
	}
	return re.RawResponse.Header.Get("x-ms-substatus")
}
