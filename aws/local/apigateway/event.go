package apigateway

import (
	"encoding/base64"
	"encoding/json"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/proa-cloud/proa/aws/local/wire"
)

// event is the payload of format 2.0.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
type event struct {
	Version               string            `json:"version"`
	RouteKey              string            `json:"routeKey"`
	RawPath               string            `json:"rawPath"`
	RawQueryString        string            `json:"rawQueryString"`
	Cookies               []string          `json:"cookies,omitempty"`
	Headers               map[string]string `json:"headers"`
	QueryStringParameters map[string]string `json:"queryStringParameters,omitempty"`
	RequestContext        requestContext    `json:"requestContext"`
	Body                  *string           `json:"body,omitempty"`
	PathParameters        map[string]string `json:"pathParameters,omitempty"`
	IsBase64Encoded       bool              `json:"isBase64Encoded"`
	StageVariables        map[string]string `json:"stageVariables,omitempty"`
}

type requestContext struct {
	AccountID    string      `json:"accountId"`
	APIID        string      `json:"apiId"`
	DomainName   string      `json:"domainName"`
	DomainPrefix string      `json:"domainPrefix"`
	HTTP         httpContext `json:"http"`
	RequestID    string      `json:"requestId"`
	RouteKey     string      `json:"routeKey"`
	Stage        string      `json:"stage"`
	Time         string      `json:"time"`
	TimeEpoch    int64       `json:"timeEpoch"`
}

type httpContext struct {
	Method    string `json:"method"`
	Path      string `json:"path"`
	Protocol  string `json:"protocol"`
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent"`
}

func (s *Server) event(r *http.Request, x *exchange) ([]byte, error) {
	source, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		source = r.RemoteAddr
	}
	if x.trace == "" {
		hex := strings.ReplaceAll(wire.RequestID(), "-", "")
		x.trace = "Root=1-" + strconv.FormatInt(x.at.Unix(), 16) + "-" + hex[:24]
	}
	headers, cookies := s.headers(r, x, source)
	prefix, _, _ := strings.Cut(x.host, ".")
	e := event{
		Version: "2.0", RouteKey: x.route.key, RawPath: x.path, RawQueryString: r.URL.RawQuery,
		Cookies: cookies, Headers: headers, QueryStringParameters: query(r.URL.RawQuery),
		PathParameters: x.values, StageVariables: x.stage.variables,
		RequestContext: requestContext{
			AccountID: s.cfg.AccountID, APIID: x.api.id, DomainName: x.host, DomainPrefix: prefix,
			HTTP: httpContext{
				Method: r.Method, Path: x.path, Protocol: r.Proto, SourceIP: source,
				UserAgent: r.UserAgent(),
			},
			RequestID: x.id, RouteKey: x.route.key, Stage: x.stage.name,
			Time: x.at.UTC().Format("02/Jan/2006:15:04:05 -0700"), TimeEpoch: x.at.UnixMilli(),
		},
	}
	if len(x.body) > 0 {
		body := ""
		if e.IsBase64Encoded = !isText(r.Header, x.body); e.IsBase64Encoded {
			body = base64.StdEncoding.EncodeToString(x.body)
		} else {
			body = string(x.body)
		}
		e.Body = &body
	}
	return wire.Marshal(e)
}

// headers lower-cases names, joins repeated values by commas, keeps cookies apart and adds what the
// gateway adds.
func (s *Server) headers(
	r *http.Request, x *exchange, source string,
) (headers map[string]string, cookies []string) {
	headers = make(map[string]string, len(r.Header)+6)
	for name, values := range r.Header {
		switch name {
		case "Cookie":
			for _, value := range values {
				for cookie := range strings.SplitSeq(value, ";") {
					if cookie = strings.TrimSpace(cookie); cookie != "" {
						cookies = append(cookies, cookie)
					}
				}
			}
		case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Upgrade":
		default:
			headers[strings.ToLower(name)] = strings.Join(values, ",")
		}
	}
	headers["host"] = r.Host
	headers["content-length"] = strconv.Itoa(len(x.body))
	headers["x-amzn-trace-id"] = x.trace
	if before := headers["x-forwarded-for"]; before != "" {
		source = before + ", " + source
	}
	headers["x-forwarded-for"] = source
	headers["x-forwarded-proto"] = "http"
	if _, port, err := net.SplitHostPort(r.Host); err == nil {
		headers["x-forwarded-port"] = port
	} else {
		headers["x-forwarded-port"] = "80"
	}
	return headers, cookies
}

// query decodes the parameters and joins repeated ones by commas.
func query(raw string) map[string]string {
	if raw == "" {
		return nil
	}
	values, _ := url.ParseQuery(raw) // what cannot be decoded is in rawQueryString alone
	out := make(map[string]string, len(values))
	for name, list := range values {
		out[name] = strings.Join(list, ",")
	}
	return out
}

// isText tells bodies that go into the event as they are; all others go in base64.
func isText(h http.Header, body []byte) bool {
	if h.Get("Content-Encoding") != "" || !utf8.Valid(body) {
		return false
	}
	given := h.Get("Content-Type")
	if given == "" {
		return true
	}
	media, _, err := mime.ParseMediaType(given)
	if err != nil {
		return false
	}
	switch media {
	case "application/json", "application/xml", "application/javascript":
		return true
	}
	return strings.HasPrefix(media, "text/") ||
		strings.HasSuffix(media, "+json") || strings.HasSuffix(media, "+xml")
}

// reply is what a function answers in format 2.0.
type reply struct {
	StatusCode      json.RawMessage            `json:"statusCode"`
	Headers         map[string]json.RawMessage `json:"headers"`
	Cookies         []string                   `json:"cookies"`
	Body            *string                    `json:"body"`
	IsBase64Encoded bool                       `json:"isBase64Encoded"`
}

// respond turns the function's answer into an HTTP response. An answer without a status code is the
// body itself.
func respond(w http.ResponseWriter, r *http.Request, payload []byte) int {
	status, headers, cookies, body, valid := translate(payload)
	if !valid {
		return refuse(w, http.StatusInternalServerError, "Internal Server Error")
	}
	h := w.Header()
	for name, value := range headers {
		switch http.CanonicalHeaderKey(name) {
		case "Connection", "Content-Length", "Keep-Alive", "Proxy-Connection", "Te", "Trailer",
			"Transfer-Encoding", "Upgrade":
		default:
			h.Set(name, value)
		}
	}
	for _, cookie := range cookies {
		h.Add("Set-Cookie", cookie)
	}
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "text/plain;charset=utf-8")
	}
	if r.Method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified {
		if status != http.StatusNoContent && status != http.StatusNotModified {
			h.Set("Content-Length", strconv.Itoa(len(body)))
		}
		w.WriteHeader(status)
		return status
	}
	wire.Write(w, status, body)
	return status
}

func translate(payload []byte) (
	status int, headers map[string]string, cookies []string, body []byte, valid bool,
) {
	var shape map[string]json.RawMessage
	isObject := json.Unmarshal(payload, &shape) == nil
	if _, has := shape["statusCode"]; !isObject || !has {
		return http.StatusOK, map[string]string{"Content-Type": contentType}, nil, bare(payload), true
	}
	var out reply
	if json.Unmarshal(payload, &out) != nil {
		return 0, nil, nil, nil, false
	}
	status, err := strconv.Atoi(strings.Trim(string(out.StatusCode), `"`))
	if err != nil || status < 200 || status > 599 {
		return 0, nil, nil, nil, false
	}
	headers = make(map[string]string, len(out.Headers))
	for name, raw := range out.Headers {
		headers[name] = scalar(raw)
	}
	if out.Body != nil {
		body = []byte(*out.Body)
	}
	if out.IsBase64Encoded {
		if body, err = base64.StdEncoding.DecodeString(string(body)); err != nil {
			return 0, nil, nil, nil, false
		}
	}
	return status, headers, out.Cookies, body, true
}

// bare is an answer that is a body: a string's text, anything else as JSON.
func bare(payload []byte) []byte {
	var text string
	if json.Unmarshal(payload, &text) == nil {
		return []byte(text)
	}
	return payload
}

// scalar renders a header's value; numbers and booleans are allowed.
func scalar(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}
