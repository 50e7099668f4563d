package conformance

import (
	"context"
	"crypto/tls"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/accesstoken/accesstoken"
)

// An Adapter protects resource servers and has one or more transports to them, over
// which the cases are sent. [HTTP] and [NetHTTP] each return an Adapter.
type Adapter struct {
	start func(*network) *servers
}

// HTTP returns an Adapter that protects handlers of net/http. Its server is reached
// over HTTP/1.1 with TLS. protect is called for each case and should return the handler
// of the whole server, which serves [Path] for every method behind the adapter.
func HTTP(name string, protect func(*Resource) http.Handler) Adapter {
	return Adapter{func(n *network) *servers {
		front := &front{protect: protect}
		server := serve(front)
		return &servers{
			transports: []transport{n.overHTTP(name, server, func(c *clients) *http.Client { return c.http1 })},
			protect:    front.change,
			close:      server.Close,
		}
	}}
}

// Path is the path of the resource.
const Path = "/resource"

// A Resource is the resource of one case, which an adapter protects.
type Resource struct {
	Validator *accesstoken.Validator

	// Optional and CORS are options of the adapter.
	Optional, CORS bool

	// Policy is the policy of the route. If Optional or CORS is set, the adapter
	// should not use it, because these options are for routes without a policy.
	Policy accesstoken.Policy

	deadline time.Duration // of each request; 0 is unlimited
	says     error         // the error that the handler returns

	mu   sync.Mutex
	runs []run
}

// A run is one call of the handler.
type run struct {
	claims accesstoken.Claims
	ok     bool
	body   string
}

// Handle must be called by the handler behind the adapter. If it returns an error, the
// handler must refuse the request with that error.
func (r *Resource) Handle(ctx context.Context, body io.Reader) error {
	claims, ok := accesstoken.FromContext(ctx)
	read, _ := io.ReadAll(body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.runs = append(r.runs, run{claims, ok, string(read)})
	return r.says
}

// ran returns the runs since the last call.
func (r *Resource) ran() []run {
	r.mu.Lock()
	defer r.mu.Unlock()
	runs := r.runs
	r.runs = nil
	return runs
}

// limit sets the deadline of a request, as a server in front of the adapter would.
func (r *Resource) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if r.deadline == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, r.deadline)
}

// servers are the servers of one adapter. The resource that they protect changes with
// each case.
type servers struct {
	transports []transport
	protect    func(*Resource) error
	close      func()
}

// A transport sends requests to a resource server, over its own connection.
type transport struct {
	name   string
	http   bool
	path   string
	send   func(ctx context.Context, r request) (answer, error)
	server *httptest.Server // nil on gRPC
}

// A request is what one client sends, whatever the transport.
type request struct {
	lines   []string            // Authorization
	headers map[string][]string // names are not canonicalised
	method  string              // HTTP only, like the next two fields
	query   string
	form    string
	rpc     string // gRPC only: the method's name after "Get" or "Watch"
	proof   string // ${proof}

	certificate string // the name of the client's certificate; "" for none
}

// An answer is the response, whatever the transport.
type answer struct {
	transport string

	status int // HTTP; 0 on gRPC
	proto  string
	secure bool
	header http.Header
	body   string

	code    string // gRPC, as google.golang.org/grpc/codes prints it
	message string
	info    *errorInfo
	retry   time.Duration // of RetryInfo
	details int
	trailer http.Header // response metadata, of the header too
}

// An errorInfo is the google.rpc.ErrorInfo of an answer.
type errorInfo struct {
	reason, domain string
	metadata       map[string]string
}

func (a answer) isHTTP() bool { return a.status != 0 }

// fields returns the header or trailer to which refusals are written.
func (a answer) fields() http.Header {
	if a.isHTTP() {
		return a.header
	}
	return a.trailer
}

// challenge returns the lines of WWW-Authenticate.
func (a answer) challenge() []string { return a.fields().Values("WWW-Authenticate") }

// A network has the clients and what they share with the servers.
type network struct {
	trusting     *http.Client // trusts the certificate of every server
	certificates map[string]*certificate
	clients      map[string]*clients // by the name of their certificate; "" for none
}

func newNetwork(trusting *http.Client, certificates map[string]*certificate) *network {
	n := &network{trusting: trusting, certificates: certificates, clients: map[string]*clients{}}
	for _, name := range []string{"", "sender", "thief"} {
		n.clients[name] = n.newClients(name)
	}
	return n
}

func (n *network) close() {
	for _, c := range n.clients {
		c.http1.CloseIdleConnections()
		c.http2.CloseIdleConnections()
		c.h2c.CloseIdleConnections()
	}
}

// clients are HTTP clients that have the same certificate, or none.
type clients struct{ http1, http2, h2c *http.Client }

func (n *network) newClients(certificate string) *clients {
	return &clients{
		http1: n.client(n.trust(certificate), (*http.Protocols).SetHTTP1),
		http2: n.client(n.trust(certificate), (*http.Protocols).SetHTTP2),
		h2c:   n.client(n.trust(""), (*http.Protocols).SetUnencryptedHTTP2),
	}
}

// client returns a client of one HTTP version. It fails if the server does not
// support that version.
func (n *network) client(trust *tls.Config, allow func(*http.Protocols, bool)) *http.Client {
	transport := n.trusting.Transport.(*http.Transport).Clone()
	transport.TLSClientConfig = trust
	transport.Protocols = new(http.Protocols)
	allow(transport.Protocols, true)
	return &http.Client{Transport: transport}
}

// trust returns the TLS configuration of a client. If certificate is "", the client
// has no certificate.
func (n *network) trust(certificate string) *tls.Config {
	config := &tls.Config{RootCAs: n.trusting.Transport.(*http.Transport).TLSClientConfig.RootCAs}
	if certificate != "" {
		config.Certificates = []tls.Certificate{n.certificates[certificate].Certificate}
	}
	return config
}

// roomy is larger than the largest token of the cases, so that our own check, and not
// the server's limit, rejects that token.
const roomy = 4 << 20

// serve serves over HTTP/1.1 and HTTP/2 with TLS. Any client certificate is accepted.
func serve(h http.Handler) *httptest.Server {
	server := httptest.NewUnstartedServer(h)
	server.EnableHTTP2 = true
	server.Config.MaxHeaderBytes = roomy
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	return server
}

// serveCleartext serves over HTTP/2 without TLS, as behind a proxy that terminates TLS.
func serveCleartext(h http.Handler) *httptest.Server {
	server := httptest.NewUnstartedServer(h)
	server.Config.MaxHeaderBytes = roomy
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	return server
}

// A front serves the resource of the current case.
type front struct {
	protect func(*Resource) http.Handler
	now     atomic.Pointer[protected]
}

type protected struct {
	resource *Resource
	handler  http.Handler
}

func (f *front) change(r *Resource) error {
	f.now.Store(&protected{r, f.protect(r)})
	return nil
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := f.now.Load()
	ctx, cancel := now.resource.limit(r.Context())
	defer cancel()
	now.handler.ServeHTTP(w, r.WithContext(ctx))
}

// overHTTP returns a transport to a server. choose picks one of the clients that have
// the request's certificate.
func (n *network) overHTTP(name string, server *httptest.Server, choose func(*clients) *http.Client) transport {
	send := func(ctx context.Context, r request) (answer, error) {
		sent, err := r.to(ctx, server.URL+Path)
		if err != nil {
			return answer{}, err
		}
		got, err := choose(n.clients[r.certificate]).Do(sent)
		if err != nil {
			return answer{}, err
		}
		defer got.Body.Close()
		body, err := io.ReadAll(got.Body)
		return answer{status: got.StatusCode, proto: got.Proto, secure: got.TLS != nil, header: got.Header, body: string(body)}, err
	}
	return transport{name: name, http: true, path: Path, send: send, server: server}
}

// to returns r as an HTTP request.
func (r request) to(ctx context.Context, address string) (*http.Request, error) {
	if r.query != "" {
		address += "?" + r.query
	}
	sent, err := http.NewRequestWithContext(ctx, r.method, address, strings.NewReader(r.form))
	if err != nil {
		return nil, err
	}
	if r.form != "" {
		sent.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	maps.Copy(sent.Header, r.headers)
	if r.lines != nil {
		sent.Header["Authorization"] = r.lines
	}
	if host := r.headers["Host"]; host != nil {
		sent.Host = host[0]
	}
	return sent, nil
}
