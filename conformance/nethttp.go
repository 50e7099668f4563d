package conformance

import (
	"io"
	"net/http"

	"github.com/accesstoken/accesstoken/middleware"
)

// NetHTTP returns the Adapter of package middleware. Its servers are reached over
// HTTP/1.1, and over HTTP/2 with and without TLS. A caller should pass it to [Run]
// together with its own Adapter, because Run compares their answers.
func NetHTTP() Adapter {
	return Adapter{func(n *network) *servers {
		front := &front{protect: protectNetHTTP}
		plain, clear := serve(front), serveCleartext(front)
		return &servers{
			transports: []transport{
				n.overHTTP("net/http over HTTP/1.1", plain, func(c *clients) *http.Client { return c.http1 }),
				n.overHTTP("net/http over HTTP/2", plain, func(c *clients) *http.Client { return c.http2 }),
				n.overHTTP(cleartext, clear, func(c *clients) *http.Client { return c.h2c }),
			},
			protect: front.change,
			close:   func() { plain.Close(); clear.Close() },
		}
	}}
}

// cleartext is the name of the transport without TLS, which has no client certificates.
const cleartext = "net/http over HTTP/2 without TLS"

func protectNetHTTP(r *Resource) http.Handler {
	auth := middleware.New(r.Validator, &middleware.Options{Optional: r.Optional, CORS: r.CORS})
	if !r.Optional && !r.CORS {
		auth = auth.RequirePolicy(r.Policy)
	}
	return auth.Wrap(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if err := r.Handle(req.Context(), req.Body); err != nil {
			auth.Refuse(w, req, err)
			return
		}
		_, _ = io.WriteString(w, "welcome")
	}))
}
