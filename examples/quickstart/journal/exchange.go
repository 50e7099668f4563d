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

// An Exchange is one request and its answer, made fit for reading: long tokens
// are shortened, passwords and client secrets are hidden.
type Exchange struct {
	Title         string // who asks whom for what
	Carrier       string // of a call to the drive
	Method, URL   string // the URL without its query
	Params        []Field
	RequestHeader []Field
	Status        string // "200 OK", or a gRPC code
	Header        []Field
	Body          string
}

// Line is the exchange in a few words: "GET /files → 200 OK".
func (e Exchange) Line() string {
	switch {
	case e.Method == "":
		return e.Status
	case e.Status == "":
		return e.Method + " " + e.Path()
	}
	return e.Method + " " + e.Path() + " → " + e.Status
}

// Path is the URL without its origin, or a gRPC method without its package.
func (e Exchange) Path() string {
	_, rest, ok := strings.Cut(e.URL, "://")
	if !ok {
		return e.URL[strings.LastIndexByte(e.URL, '.')+1:]
	}
	_, rest, _ = strings.Cut(rest, "/")
	return "/" + rest
}

// Request is the exchange without its answer.
func (e Exchange) Request() Exchange {
	e.Status, e.Header, e.Body = "", nil, ""
	return e
}

// Reply is the exchange without its request.
func (e Exchange) Reply() Exchange {
	e.Method, e.Params, e.RequestHeader = "", nil, nil
	return e
}

// An Answer is a resource server's verdict on one request.
type Answer struct {
	Carrier    string // "net/http", "Echo" or "gRPC"
	Exchange   Exchange
	HTTPStatus int    // 0 for gRPC
	Challenge  string // WWW-Authenticate; in gRPC the trailer of that name
	RetryAfter string
	Code       string // gRPC: the canonical code, "OK" when it passed
	Reason     string // gRPC: ErrorInfo.reason
	Files      []string
}

// OK reports whether the request passed.
func (a Answer) OK() bool { return a.HTTPStatus/100 == 2 || a.Code == "OK" }

// Colour sorts a verdict for display: "pass", "deny", or "unknown" when the
// resource server could not find out.
func (a Answer) Colour() string {
	switch {
	case a.OK():
		return "pass"
	case a.HTTPStatus >= 500 || a.Code == "UNAVAILABLE" || a.HTTPStatus == 0 && a.Code == "":
		return "unknown"
	}
	return "deny"
}

// The headers worth a reader's time.
var (
	requestHeaders = []string{"Authorization", "Content-Type"}
	answerHeaders  = []string{"Content-Type", "Location", "WWW-Authenticate", "Retry-After", "Cache-Control"}
)

// maxBody bounds what is kept of a body.
const maxBody = 16 << 10

// NewExchange writes down a request that was answered. form holds the body's
// parameters when it was a form.
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

// A bearer token is as good as the right it stands for, so none is shown whole,
// not even in a demonstration on loopback.
var long = regexp.MustCompile(`[A-Za-z0-9_.-]{72,}`)

// Shorten cuts the middle out of every long token in s.
func Shorten(s string) string {
	return long.ReplaceAllStringFunc(s, func(token string) string {
		return token[:18] + "…" + token[len(token)-6:]
	})
}

// A Transport is an [http.RoundTripper] that writes down what passes through it.
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

// peekForm reads the form that a request is about to send. It asks GetBody for
// a copy, because a RoundTripper must not modify the request.
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

// A Recorder is an [http.ResponseWriter] that remembers the answer it passes on.
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

// Unwrap serves http.ResponseController.
func (r *Recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
