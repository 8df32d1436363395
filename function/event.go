package function

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// event holds what the HTTP events of Lambda have in common and apart: payload 2.0 of HTTP APIs and function URLs, and payload 1.0 of
// REST APIs.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
type event struct {
	Version string `json:"version"`

	RawPath        string   `json:"rawPath"`
	RawQueryString string   `json:"rawQueryString"`
	Cookies        []string `json:"cookies"`

	HTTPMethod        string              `json:"httpMethod"`
	Path              string              `json:"path"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders"`
	MultiValueQuery   map[string][]string `json:"multiValueQueryStringParameters"`
	Query             map[string]string   `json:"queryStringParameters"`

	Headers  map[string]string `json:"headers"`
	Body     string            `json:"body"`
	IsBase64 bool              `json:"isBase64Encoded"`
	Context  eventContext      `json:"requestContext"`
}

type eventContext struct {
	DomainName string `json:"domainName"`
	RequestID  string `json:"requestId"`
	Stage      string `json:"stage"`
	HTTP       struct {
		Method   string `json:"method"`
		Protocol string `json:"protocol"`
		SourceIP string `json:"sourceIp"`
	} `json:"http"`
	Identity struct {
		SourceIP string `json:"sourceIp"`
	} `json:"identity"`
}

// errNoHTTP is what an invocation that is no HTTP event gets.
var errNoHTTP = errors.New("the event is no HTTP request of an HTTP API, a REST API or a function URL")

// parseEvent reads an event and tells its payload format. 2.0 must be tried first: a REST API's events have no version.
func parseEvent(payload []byte) (e event, v2 bool, err error) {
	if err := json.Unmarshal(payload, &e); err != nil {
		return e, false, fmt.Errorf("%w: %w", errNoHTTP, err)
	}
	switch {
	case e.Version == "2.0" && e.Context.HTTP.Method != "":
		return e, true, nil
	case e.HTTPMethod != "":
		return e, false, nil
	}
	return e, false, errNoHTTP
}

// request builds the HTTP request that the event stands for.
func (e event) request(ctx context.Context, v2 bool) (*http.Request, error) {
	body, err := e.body()
	if err != nil {
		return nil, err
	}
	method, path, query, source := e.HTTPMethod, e.Path, e.query(), e.Context.Identity.SourceIP
	if v2 {
		method, path, query, source = e.Context.HTTP.Method, e.path(), e.RawQueryString, e.Context.HTTP.SourceIP
	}
	u := &url.URL{Path: path, RawQuery: query}
	if unescaped, err := url.PathUnescape(path); err == nil && e.pathIsEscaped(v2) {
		u.Path, u.RawPath = unescaped, path
	}
	r := (&http.Request{
		Method: method, URL: u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: e.header(),
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
		RemoteAddr: net.JoinHostPort(source, "0"), RequestURI: u.RequestURI(),
	}).WithContext(ctx)
	r.Host = r.Header.Get("Host")
	if r.Host == "" {
		r.Host = e.Context.DomainName
	}
	r.Header.Del("Host")
	r.Header.Del("Transfer-Encoding")
	if len(e.Cookies) > 0 {
		r.Header.Set("Cookie", strings.Join(e.Cookies, "; "))
	}
	return r, nil
}

// pathIsEscaped tells REST APIs and function URLs, whose paths come as they were sent, from HTTP APIs, which have decoded them: decoding
// once more would take %2541 for A.
func (e event) pathIsEscaped(v2 bool) bool {
	return !v2 || strings.Contains(e.Context.DomainName, ".lambda-url.")
}

// path is the raw path without the stage, which the default endpoint of a named stage puts before it.
func (e event) path() string {
	stage := "/" + e.Context.Stage
	if e.Context.Stage == "" || e.Context.Stage == "$default" || !strings.Contains(e.Context.DomainName, ".execute-api.") {
		return e.RawPath
	}
	if rest, ok := strings.CutPrefix(e.RawPath, stage); ok && (rest == "" || rest[0] == '/') {
		return orDefault(rest, "/")
	}
	return e.RawPath
}

func (e event) body() ([]byte, error) {
	if !e.IsBase64 {
		return []byte(e.Body), nil
	}
	body, err := base64.StdEncoding.DecodeString(e.Body)
	if err != nil {
		return nil, fmt.Errorf("event body: %w", err)
	}
	return body, nil
}

// query rebuilds a REST API's query, whose parameters come decoded and without their order.
func (e event) query() string {
	values := url.Values{}
	for name, v := range e.Query {
		values.Set(name, v)
	}
	maps.Copy(values, e.MultiValueQuery)
	return values.Encode()
}

// header takes the multi-value headers where there are any: the single-value ones then repeat only the last value of each.
func (e event) header() http.Header {
	h := http.Header{}
	if len(e.MultiValueHeaders) > 0 {
		for _, name := range slices.Sorted(maps.Keys(e.MultiValueHeaders)) {
			for _, v := range e.MultiValueHeaders[name] {
				h.Add(name, v)
			}
		}
		return h
	}
	for name, v := range e.Headers {
		h.Set(name, v)
	}
	return h
}
