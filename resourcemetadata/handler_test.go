package resourcemetadata_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/resourcemetadata"
)

// A source is a Validator for these tests.
type source struct {
	url      string
	document []byte
}

func (s *source) ResourceMetadata() (string, []byte) { return s.url, s.document }

const document = `{"resource":"https://h.example/mcp"}`

func newSource(place string) *source {
	return &source{"https://h.example/.well-known/oauth-protected-resource" + place, []byte(document)}
}

// ask makes a request; fields are names and values in turn.
func ask(t *testing.T, handler http.Handler, method, target string, fields ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for n := 0; n < len(fields); n += 2 {
		r.Header.Add(fields[n], fields[n+1])
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w.Result()
}

func bodyOf(t *testing.T, response *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// META-02, META-03: only the path of the document leads to it, and nothing in the answer
// comes from the request.
func TestOnlyThePathOfTheDocumentLeadsToIt(t *testing.T) {
	for _, test := range []struct{ place, path string }{
		{"", ""}, {"/mcp", "/mcp"}, {"/a/", "/a/"}, {"/%7Ealice/a%2Fb", "/%7Ealice/a%2Fb"}, {"/%7Bid%7D", "/%7Bid%7D"}, {"/a?x=1", "/a?x=1"},
	} {
		for name, register := range map[string]func(*http.ServeMux, *source){
			"Handle": func(mux *http.ServeMux, s *source) {
				mux.Handle(resourcemetadata.Pattern(s), resourcemetadata.Handler(s))
			},
			"Register": func(mux *http.ServeMux, s *source) { resourcemetadata.Register(mux, s) },
		} {
			mux := http.NewServeMux()
			if name == "Register" {
				mux.HandleFunc("GET /", http.NotFound)
			}
			register(mux, newSource(test.place))
			base := "https://evil.example/.well-known/oauth-protected-resource"
			if response := ask(t, mux, "GET", base+test.path); response.StatusCode != 200 || bodyOf(t, response) != document {
				t.Errorf("%s, %q: got %d; want the document", name, test.place, response.StatusCode)
			}
			for _, other := range []string{base + "/invented", base + test.path + "/invented", base + "/mcp/", base + "/..", "https://h.example/"} {
				if other == base+test.path {
					continue
				}
				if response := ask(t, mux, "GET", other); response.StatusCode == 200 {
					t.Errorf("%s, %q: GET %s: got %d; want no document", name, test.place, other, response.StatusCode)
				}
			}
		}
	}
}

func TestAnIdentifierWithAQueryHasItsDocumentUnderThatQuery(t *testing.T) {
	handler := resourcemetadata.Handler(newSource("/a?x=1"))
	for target, want := range map[string]int{"/a?x=1": 200, "/a": 404, "/a?x=2": 404, "/a?x=1&y": 404} {
		if got := ask(t, handler, "GET", target).StatusCode; got != want {
			t.Errorf("%s: got %d; want %d", target, got, want)
		}
	}
	if got := ask(t, resourcemetadata.Handler(newSource("/a")), "GET", "/a?x=1").StatusCode; got != 200 {
		t.Errorf("a query where the identifier has none: got %d; want 200", got)
	}
}

// META-02, META-12, META-13.
func TestHandler(t *testing.T) {
	s := newSource("/mcp")
	handler := resourcemetadata.Handler(s)
	got := ask(t, handler, "GET", "/", "Origin", "https://app.example")
	etag := got.Header.Get("ETag")
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Content-Length": "36", "Cache-Control": "public, max-age=3600",
		"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": "", "X-Content-Type-Options": "nosniff", "Set-Cookie": "",
	} {
		if got.Header.Get(name) != want {
			t.Errorf("%s: got %q; want %q", name, got.Header.Get(name), want)
		}
	}
	if len(etag) < 10 || strings.HasPrefix(etag, "W/") {
		t.Errorf("ETag: got %q; want a strong one", etag)
	}
	for _, test := range []struct {
		method string
		fields []string
		status int
		body   string
	}{
		{"HEAD", nil, 200, ""},
		{"OPTIONS", []string{"Origin", "https://app.example", "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "mcp-protocol-version"}, 204, ""},
		{"POST", nil, 405, "expected GET\n"},
		{"DELETE", nil, 405, "expected GET\n"},
		{"GET", []string{"If-None-Match", etag}, 304, ""},
		{"HEAD", []string{"If-None-Match", etag}, 304, ""},
		{"GET", []string{"If-None-Match", `"other", W/` + etag}, 304, ""},
		{"GET", []string{"If-None-Match", `"other"`, "If-None-Match", etag}, 304, ""},
		{"GET", []string{"If-None-Match", "*"}, 304, ""},
		{"GET", []string{"If-None-Match", `"other"`}, 200, document},
		{"GET", []string{"Authorization", "Bearer junk"}, 200, document},
	} {
		response := ask(t, handler, test.method, "/", test.fields...)
		if response.StatusCode != test.status || bodyOf(t, response) != test.body {
			t.Errorf("%s %q: got %d; want %d %q", test.method, test.fields, response.StatusCode, test.status, test.body)
		}
		if allow := response.Header.Get("Allow"); (allow == "GET, HEAD, OPTIONS") != (test.status == 405 || test.status == 204) {
			t.Errorf("%s: got Allow %q", test.method, allow)
		}
		if response.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s %q: a script of another origin cannot read the answer", test.method, test.fields)
		}
		if test.method == "OPTIONS" && (response.Header.Get("Access-Control-Allow-Methods") != "GET, HEAD" || response.Header.Get("Access-Control-Allow-Headers") != "*") {
			t.Errorf("the preflight allows %v", response.Header)
		}
	}
	s.document = []byte(`{"resource":"https://h.example/mcp","resource_name":"MCP"}`)
	changed := ask(t, handler, "GET", "/", "If-None-Match", etag)
	if changed.StatusCode != 200 || bodyOf(t, changed) != string(s.document) || changed.Header.Get("ETag") == etag {
		t.Errorf("another document: got %d with ETag %s; want it with an ETag of its own", changed.StatusCode, changed.Header.Get("ETag"))
	}
}

func TestAnOuterHandlerDecidesHowLongTheDocumentIsCached(t *testing.T) {
	handler := resourcemetadata.Handler(newSource(""))
	outer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=60")
		handler.ServeHTTP(w, r)
	})
	if got := ask(t, outer, "GET", "/").Header.Values("Cache-Control"); len(got) != 1 || got[0] != "public, max-age=60" {
		t.Errorf("got %q", got)
	}
}

// META-13: a bare writer, so that only what Handler allocates counts.
func TestServingAllocatesNothing(t *testing.T) {
	handler := resourcemetadata.Handler(newSource("/mcp"))
	w, r := &bareWriter{http.Header{}}, httptest.NewRequest("GET", "/", nil)
	handler.ServeHTTP(w, r)
	if got := testing.AllocsPerRun(100, func() { clear(w.header); handler.ServeHTTP(w, r) }); got != 0 {
		t.Errorf("got %v allocations; want none", got)
	}
}

type bareWriter struct{ header http.Header }

func (w *bareWriter) Header() http.Header         { return w.header }
func (w *bareWriter) Write(b []byte) (int, error) { return len(b), nil }
func (w *bareWriter) WriteHeader(int)             {}

func TestWithoutMetadataThereIsNothingToServe(t *testing.T) {
	for name, do := range map[string]func(resourcemetadata.Source){
		"Pattern":  func(s resourcemetadata.Source) { resourcemetadata.Pattern(s) },
		"Handler":  func(s resourcemetadata.Source) { resourcemetadata.Handler(s) },
		"Register": func(s resourcemetadata.Source) { resourcemetadata.Register(http.NewServeMux(), s) },
	} {
		func() {
			defer func() {
				if p, _ := recover().(string); !strings.Contains(p, "set Config.Metadata") {
					t.Errorf("%s: got the panic %q; want one that says what to set", name, p)
				}
			}()
			do(&source{})
		}()
	}
}
