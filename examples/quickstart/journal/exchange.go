package journal

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Field is one header or one parameter.
type Field struct{ Name, Value string }

// An Exchange is one request and its response, prepared for display. Long texts such
// as tokens are shortened, and passwords and client secrets are masked.
type Exchange struct {
	Title         string // for example "The resource owner logs in"
	Carrier       string // the transport of a call to the drive; "" for other requests
	Method, URL   string // the URL without its query
	Params        []Field
	RequestHeader []Field
	Status        string // "200 OK", or a gRPC code
	Header        []Field
	Body          string
}

// Line returns a summary of the exchange, for example "GET /files → 200 OK".
func (e Exchange) Line() string {
	switch {
	case e.Method == "":
		return e.Status
	case e.Status == "":
		return e.Method + " " + e.Path()
	}
	return e.Method + " " + e.Path() + " → " + e.Status
}

// Path returns the URL without its origin, or a gRPC method without its package.
func (e Exchange) Path() string {
	_, rest, ok := strings.Cut(e.URL, "://")
	if !ok {
		return e.URL[strings.LastIndexByte(e.URL, '.')+1:]
	}
	_, rest, _ = strings.Cut(rest, "/")
	return "/" + rest
}

// Request returns the exchange without its response.
func (e Exchange) Request() Exchange {
	e.Status, e.Header, e.Body = "", nil, ""
	return e
}

// Reply returns the exchange without its request, except the URL.
func (e Exchange) Reply() Exchange {
	e.Method, e.Params, e.RequestHeader = "", nil, nil
	return e
}

// An Answer is a resource server's response to one request, over one transport.
type Answer struct {
	Carrier    string // "net/http", "Echo" or "gRPC"
	Exchange   Exchange
	HTTPStatus int    // 0 for gRPC
	Challenge  string // WWW-Authenticate; for gRPC, the trailer of that name
	RetryAfter string
	Code       string // gRPC: the canonical code, "OK" if the call succeeded
	Reason     string // gRPC: ErrorInfo.reason
	Files      []string
}

// OK reports whether the request was accepted.
func (a Answer) OK() bool { return a.HTTPStatus/100 == 2 || a.Code == "OK" }

// Colour classifies an answer for display: "pass", "deny", or "unknown" if the
// resource server could not decide or did not respond.
func (a Answer) Colour() string {
	switch {
	case a.OK():
		return "pass"
	case a.HTTPStatus >= 500 || a.Code == "UNAVAILABLE" || a.HTTPStatus == 0 && a.Code == "":
		return "unknown"
	}
	return "deny"
}

// The header fields that are shown.
var (
	requestHeaders = []string{"Authorization", "Content-Type"}
	answerHeaders  = []string{"Content-Type", "Location", "WWW-Authenticate", "Retry-After", "Cache-Control"}
)

// maxBody is the maximum size of a recorded body, in bytes.
const maxBody = 16 << 10

// NewExchange records a request and its response. If the request's body is a form,
// form should hold its parameters.
func NewExchange(title string, r *http.Request, form url.Values, status int, header http.Header, body []byte) Exchange {
	u := *r.URL
	if u.Host == "" {
		u.Scheme, u.Host = "http", r.Host
	}
	params := append(fields(u.Query()), fields(form)...)
	u.RawQuery = ""
	return Exchange{
		Title:         title,
		Method:        r.Method,
		URL:           u.String(),
		Params:        params,
		RequestHeader: pick(r.Header, requestHeaders),
		Status:        strconv.Itoa(status) + " " + http.StatusText(status),
		Header:        pick(header, answerHeaders),
		Body:          readable(header.Get("Content-Type"), body),
	}
}

func fields(values url.Values) []Field {
	var out []Field
	for name, vs := range values {
		for _, v := range vs {
			if name == "password" || name == "client_secret" {
				v = "••••••••"
			}
			out = append(out, Field{name, Shorten(v)})
		}
	}
	slices.SortFunc(out, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func pick(header http.Header, names []string) []Field {
	var out []Field
	for _, name := range names {
		for _, v := range header.Values(name) {
			if strings.HasPrefix(v, "Basic ") {
				v = "Basic ••••••••"
			}
			out = append(out, Field{name, Shorten(v)})
		}
	}
	return out
}

func readable(contentType string, body []byte) string {
	if strings.Contains(contentType, "html") || strings.HasPrefix(contentType, "text/css") {
		return ""
	}
	var pretty bytes.Buffer
	if strings.Contains(contentType, "json") && json.Indent(&pretty, body, "", "  ") == nil {
		body = pretty.Bytes()
	}
	return Shorten(strings.TrimSpace(string(body)))
}

// Every client that has a bearer token can use it. So text as long as a token is not
// shown in full, not even in a demonstration on loopback.
var long = regexp.MustCompile(`[A-Za-z0-9_.-]{72,}`)

// Shorten replaces the middle of each word of 72 or more token characters with an
// ellipsis.
func Shorten(s string) string {
	return long.ReplaceAllStringFunc(s, func(token string) string {
		return token[:18] + "…" + token[len(token)-6:]
	})
}

// A Transport is an [http.RoundTripper] that records each request that gets a
// response.
type Transport struct {
	Base   http.RoundTripper // nil means http.DefaultTransport
	Title  string
	Record func(Exchange)
}

func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	form, err := peekForm(r)
	if err != nil {
		return nil, err
	}
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	resp, err := base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		resp.Body.Close()
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), resp.Body), resp.Body}
	t.Record(NewExchange(t.Title, r, form, resp.StatusCode, resp.Header, body))
	return resp, nil
}

// peekForm returns the form that the request will send, or nil if it sends none. It
// reads a copy from GetBody, because a RoundTripper must not modify the request.
func peekForm(r *http.Request) (url.Values, error) {
	if r.GetBody == nil || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		return nil, nil
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, err
	}
	defer body.Close()
	raw, err := io.ReadAll(io.LimitReader(body, maxBody))
	if err != nil {
		return nil, err
	}
	return url.ParseQuery(string(raw))
}

// A Recorder is an [http.ResponseWriter] that passes on a response, and records its
// status and the first maxBody bytes of its body.
type Recorder struct {
	http.ResponseWriter
	Status int
	Body   bytes.Buffer
}

func (r *Recorder) WriteHeader(status int) {
	if r.Status == 0 {
		r.Status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *Recorder) Write(b []byte) (int, error) {
	if r.Status == 0 {
		r.Status = http.StatusOK
	}
	if room := maxBody - r.Body.Len(); room > 0 {
		r.Body.Write(b[:min(room, len(b))])
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the underlying writer.
func (r *Recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
