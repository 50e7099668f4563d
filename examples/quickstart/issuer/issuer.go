// Package issuer is the authorization server and OpenID provider of the
// quickstart: github.com/zitadel/oidc's op package over a storage in memory,
// with a login page and a consent page.
//
// It is for demonstrations only. It refuses to live anywhere but on a loopback
// host, its keys are random and die with the process, and it has switches that
// make it misbehave on purpose.
package issuer

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/accesstoken/accesstoken/examples/quickstart/journal"
	"github.com/accesstoken/accesstoken/examples/quickstart/loopback"
)

// Config says whom the server knows.
type Config struct {
	URL       string // the issuer: an http URL on a loopback host, without a slash at its end
	User      User
	Clients   []Client
	Resources []Resource

	// Observe, when set, is told what came in at an endpoint and what went out,
	// for requests that belong to the authorization request with this state.
	Observe func(endpoint, state string, e journal.Exchange)
}

// A User is the one person who has an account.
type User struct{ Subject, Login, Password, Name string }

// A Resource is a resource server that tokens can be for (RFC 8707). With its
// client id and secret it may introspect them.
type Resource struct{ ID, ClientID, ClientSecret string }

// A Server is the authorization server. It is an [http.Handler].
type Server struct {
	config   Config
	storage  *storage
	provider *op.Provider
	handler  http.Handler
	down     atomic.Bool
}

// New makes a server for an address on loopback; it refuses any other.
func New(c Config) (*Server, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("issuer: %q is not a URL: %w", c.URL, err)
	}
	if err := loopback.Check(u.Hostname()); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	storage, err := newStorage(c)
	if err != nil {
		return nil, err
	}
	s := &Server{config: c, storage: storage}
	settings := &op.Config{CodeMethodS256: true}
	rand.Read(settings.CryptoKey[:])
	s.provider, err = op.NewProvider(settings, storage, op.StaticIssuer(c.URL),
		op.WithAllowInsecure(), // http, because it is on loopback
		op.WithAccessTokenVerifierOpts(op.WithSupportedAccessTokenSigningAlgorithms("RS256", "ES256")),
	)
	if err != nil {
		return nil, err
	}
	s.handler = s.routes()
	return s, nil
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", s.provider)
	mux.HandleFunc("GET /.well-known/openid-configuration", s.metadata)
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", s.metadata) // RFC 8414 §3
	mux.Handle("/authorize", s.observe(s.named(s.provider)))
	mux.Handle("/authorize/callback", s.observe(s.named(s.provider)))
	mux.HandleFunc("GET /login", s.loginPage)
	mux.HandleFunc("GET /consent", s.consentPage)
	mux.HandleFunc("GET /style.css", s.style)
	// A page of another site must not be able to consent in the person's name.
	sameSite := http.NewCrossOriginProtection()
	mux.Handle("POST /login", sameSite.Handler(s.observe(http.HandlerFunc(s.login))))
	mux.Handle("POST /consent", sameSite.Handler(s.observe(s.named(http.HandlerFunc(s.consent)))))
	mux.Handle("POST /oauth/token", http.HandlerFunc(s.token))
	mux.Handle("POST /oauth/introspect", s.observe(s.provider))
	return mux
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.down.Load() {
		panic(http.ErrAbortHandler) // cuts the connection without an answer
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	n := &notes{resource: r.FormValue("resource")}
	s.handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), notesKey{}, n)))
}

// notes travel with a request between the HTTP side and the storage, which op
// does not connect: op drops the parameters it does not know, resource among them.
type notes struct {
	resource string // in: RFC 8707
	state    string // out: which flow the request belongs to
	backdate bool   // within one token request: set the clock back
}

type notesKey struct{}

func notesFrom(ctx context.Context) *notes {
	if n, ok := ctx.Value(notesKey{}).(*notes); ok {
		return n
	}
	return &notes{}
}

// observe reports an exchange once it is known which flow it belongs to.
func (s *Server) observe(next http.Handler) http.Handler {
	if s.config.Observe == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorder := &journal.Recorder{ResponseWriter: w}
		next.ServeHTTP(recorder, r)
		state := notesFrom(r.Context()).state
		if state == "" {
			return
		}
		title := titles[r.URL.Path]
		s.config.Observe(r.URL.Path, state, journal.NewExchange(title, r, r.PostForm, recorder.Status, recorder.Header(), recorder.Body.Bytes()))
	})
}

var titles = map[string]string{
	"/authorize":          "The browser brings the client's authorization request",
	"/login":              "The resource owner logs in",
	"/consent":            "The resource owner decides",
	"/authorize/callback": "The authorization server sends the browser back to the client with a code",
	"/oauth/introspect":   "The resource server asks what the token means",
}

// named puts iss into authorization responses, errors included (RFC 9207 §2):
// op leaves it out. An authorization response is a redirect to another origin.
func (s *Server) named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(&namedWriter{w, s.config.URL}, r)
	})
}

type namedWriter struct {
	http.ResponseWriter
	issuer string
}

func (w *namedWriter) WriteHeader(status int) {
	location, err := url.Parse(w.Header().Get("Location"))
	if err == nil && location.IsAbs() && !strings.HasPrefix(location.String(), w.issuer+"/") {
		query := location.Query()
		query.Set("iss", w.issuer)
		location.RawQuery = query.Encode()
		w.Header().Set("Location", location.String())
	}
	w.ResponseWriter.WriteHeader(status)
}

// metadata answers discovery (RFC 8414) with what is true of this server: op's
// own document offers more than the storage does, and does not know of iss.
func (s *Server) metadata(w http.ResponseWriter, r *http.Request) {
	ctx := op.ContextWithIssuer(r.Context(), s.config.URL)
	document := struct {
		*oidc.DiscoveryConfiguration
		IssParameter bool `json:"authorization_response_iss_parameter_supported"`
	}{op.CreateDiscoveryConfig(ctx, s.provider, s.storage), true}
	document.ResponseTypesSupported = []string{"code"}
	document.GrantTypesSupported = []oidc.GrantType{oidc.GrantTypeCode}
	document.DeviceAuthorizationEndpoint = ""
	document.ScopesSupported = s.scopes()
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(document)
}

func (s *Server) scopes() []string {
	all := map[string]bool{oidc.ScopeOpenID: true, oidc.ScopeProfile: true}
	for _, c := range s.config.Clients {
		for _, scope := range c.Scopes {
			all[scope] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// token is the token endpoint. op's answer needs two corrections: nobody may
// store it (RFC 6749 §5.1), and a client that did not ask for openid gets no ID token.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	answer := &buffer{header: w.Header()}
	s.provider.ServeHTTP(answer, r)
	w.Header().Set("Cache-Control", "no-store")
	body := answer.body.Bytes()
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) == nil && !bytes.Contains(members["scope"], []byte(oidc.ScopeOpenID)) {
		delete(members, "id_token")
		body, _ = json.Marshal(members) // made of what was just parsed
	}
	w.WriteHeader(answer.status)
	w.Write(body)
}

// A buffer holds an answer back until it is complete.
type buffer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (b *buffer) Header() http.Header         { return b.header }
func (b *buffer) WriteHeader(status int)      { b.status = status }
func (b *buffer) Write(p []byte) (int, error) { return b.body.Write(p) }

// Rotate makes a new signing key. The old one stays published as long as its
// tokens live; with withdraw it is gone at once, and they with it.
func (s *Server) Rotate(withdraw bool) error { return s.storage.keys.rotate(withdraw) }

// KeyIDs lists the key set, the signing key first.
func (s *Server) KeyIDs() []string {
	var ids []string
	for _, k := range s.storage.keys.published() {
		ids = append(ids, k.id+" ("+string(k.alg)+")")
	}
	return ids
}

// SetDown cuts every connection until it is called again with false.
func (s *Server) SetDown(down bool) { s.down.Store(down) }

// Backdate makes the flow with this state end in a token that is dated back by
// an hour, and hence has expired. It must be called before the authorization request.
func (s *Server) Backdate(state string) {
	s.storage.mu.Lock()
	defer s.storage.mu.Unlock()
	s.storage.late[state] = true
}
