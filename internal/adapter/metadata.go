package adapter

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/resourcemetadata"
)

// A Page serves the metadata of a Validator (RFC 9728) in front of the adapter, because an
// adapter that is outside of the router would refuse clients that have no token yet.
type Page struct {
	http.Handler
	path string // with its escapes
}

// PageOf returns the page of the Validator, or nil if it publishes no metadata.
func PageOf(v *accesstoken.Validator) *Page {
	place, _ := v.ResourceMetadata()
	u, err := url.Parse(place)
	if err != nil || place == "" {
		return nil
	}
	return &Page{resourcemetadata.Handler(v), u.EscapedPath()}
}

// Serves reports whether the request is for the page. p may be nil.
func (p *Page) Serves(r *http.Request) bool {
	return p != nil && strings.HasPrefix(r.URL.Path, "/.well-known/") && r.URL.EscapedPath() == p.path
}
