package adapter

import (
	"net/http"

	"github.com/accesstoken/accesstoken"
)

// IsPreflight reports a CORS-preflight request of the Fetch standard.
func IsPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}

// Depends tells caches what the response depends on, so that they do not give it to
// another caller. field is the one in which tokens come. Shared caches know by themselves
// that Authorization matters (RFC 9111 §3.5), but not that its absence does on an optional
// route. What Config.Authenticate reads is unknown, so if it is asked, shared caches must
// not store the response. The handler may replace that.
func Depends(header http.Header, field string, optional, asked bool) {
	if optional || field != "Authorization" {
		header.Add("Vary", field) // RFC 9110 §12.5.5
	}
	if asked && header.Get("Cache-Control") == "" {
		header.Set("Cache-Control", "private") // RFC 9111 §5.2.2.7
	}
}

// Accepted writes header fields of the response to an accepted request, before its
// handler runs: the next DPoP nonce, and no-store. If nonce is "", it writes
// nothing. If cors is set, scripts of other origins may read the nonce.
func Accepted(header http.Header, r *http.Request, nonce string, cors bool) {
	if nonce == "" {
		return
	}
	header.Set("DPoP-Nonce", nonce)
	header.Set("Cache-Control", "no-store") // a nonce is for one client, and for a short time
	if cors && r.Header.Get("Origin") != "" {
		header.Add("Access-Control-Expose-Headers", "DPoP-Nonce")
	}
}

// Refused writes the header fields of a refusal, except Content-Type. If cors is
// set, scripts of other origins may read the challenge and the DPoP nonce.
func Refused(header http.Header, r *http.Request, refused *accesstoken.Error, cors bool) {
	for _, name := range []string{"Content-Length", "Content-Encoding", "Etag", "Last-Modified"} {
		header.Del(name) // the field describes a body that will not be written
	}
	for name, values := range refused.Header() {
		header[name] = values
	}
	header.Set("X-Content-Type-Options", "nosniff")
	if !cors || r.Header.Get("Origin") == "" {
		return
	}
	header.Add("Access-Control-Expose-Headers", "WWW-Authenticate")
	if header.Get("DPoP-Nonce") != "" {
		header.Add("Access-Control-Expose-Headers", "DPoP-Nonce")
	}
}
