package resourcemetadata

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
)

// A Source has the metadata of one resource server. An *accesstoken.Validator is one.
type Source interface {
	// ResourceMetadata returns the URL of the document, and the document as it is now. It
	// returns "" and nil if the server publishes none.
	ResourceMetadata() (url string, document []byte)
}

// Pattern returns the pattern for [http.ServeMux] under which Handler belongs: the path of
// the document's URL, and nothing below it. It panics if the Validator has no Metadata,
// because that is a programming error.
func Pattern(s Source) string {
	path := placeOf(s).EscapedPath()
	if strings.HasSuffix(path, "/") {
		path += "{$}"
	}
	return path
}

// Register adds Handler to the mux for GET, HEAD and OPTIONS. Use it if the mux has a
// pattern such as "GET /", with which the pattern of [Pattern] would collide. It panics
// like Pattern.
func Register(mux *http.ServeMux, s Source) {
	handler, pattern := Handler(s), Pattern(s)
	for _, method := range []string{http.MethodGet, http.MethodOptions} {
		mux.Handle(method+" "+pattern, handler)
	}
}

// Handler returns a handler that serves the document to everybody (RFC 9728 §3.2), and
// to scripts of any origin. It says what the Validator says, whatever the Host and the
// path of the request are, so it can be mounted where a proxy that rewrites paths needs
// it. If the identifier has a query, requests with another query are 404.
//
// Responses may be cached for an hour, unless a handler outside has set Cache-Control. The
// handler allocates only what net/http does. It panics like [Pattern].
func Handler(s Source) http.Handler {
	return &handler{source: s, query: placeOf(s).RawQuery}
}

// placeOf returns the URL of the document.
func placeOf(s Source) *url.URL {
	raw, _ := s.ResourceMetadata()
	place, err := url.Parse(raw)
	if err != nil || raw == "" {
		panic("resourcemetadata: the Validator publishes no metadata; set Config.Metadata, or Resource.Metadata for ForResource")
	}
	return place
}

type handler struct {
	source  Source
	query   string // of the document's URL
	current atomic.Pointer[edition]
}

// An edition is a document, and header fields for it that would cost something to make.
type edition struct {
	document     []byte
	etag, length []string
}

var (
	fields = http.Header{ // of every response
		"Access-Control-Allow-Origin": {"*"},
		"X-Content-Type-Options":      {"nosniff"},
	}
	preflight = http.Header{
		"Access-Control-Allow-Methods": {"GET, HEAD"},
		"Access-Control-Allow-Headers": {"*"},
		"Access-Control-Max-Age":       {"3600"},
	}
	allow        = []string{"GET, HEAD, OPTIONS"}
	cacheControl = []string{"public, max-age=3600"}
	contentType  = []string{"application/json"}
)

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	for name, values := range fields {
		header[name] = values
	}
	switch {
	case h.query != "" && r.URL.RawQuery != h.query:
		http.NotFound(w, r)
		return
	case r.Method == http.MethodOptions:
		for name, values := range preflight {
			header[name] = values
		}
		header["Allow"] = allow
		w.WriteHeader(http.StatusNoContent)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		header["Allow"] = allow
		http.Error(w, "expected GET", http.StatusMethodNotAllowed)
		return
	}
	e := h.edition()
	header["Etag"] = e.etag
	if header["Cache-Control"] == nil {
		header["Cache-Control"] = cacheControl
	}
	if isAmong(e.etag[0], r.Header["If-None-Match"]) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header["Content-Type"], header["Content-Length"] = contentType, e.length
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(e.document) // fails only if the client is gone
	}
}

// edition returns the current document. The Validator hands out the same slice until its
// document changes.
func (h *handler) edition() *edition {
	_, document := h.source.ResourceMetadata()
	held := h.current.Load()
	if held != nil && len(held.document) == len(document) && &held.document[0] == &document[0] {
		return held
	}
	digest := sha256.Sum256(document)
	e := &edition{
		document: document,
		etag:     []string{`"` + base64.RawURLEncoding.EncodeToString(digest[:16]) + `"`},
		length:   []string{strconv.Itoa(len(document))},
	}
	h.current.Store(e)
	return e
}

// isAmong reports whether If-None-Match has the entity tag, by the weak comparison (RFC
// 9110 §13.1.2).
func isAmong(etag string, lines []string) bool {
	for _, line := range lines {
		for line != "" {
			var one string
			one, line, _ = strings.Cut(line, ",")
			if one = strings.TrimPrefix(strings.TrimSpace(one), "W/"); one == etag || one == "*" {
				return true
			}
		}
	}
	return false
}
