// Package issuer is the authorization server and OpenID provider of the
// quickstart. It combines the op package of github.com/zitadel/oidc with an
// in-memory storage, a login page and a consent page.
//
// You should use it for demonstrations only. It runs on loopback hosts only, its keys
// are random and exist only in memory, and its methods SetDown and Backdate make it
// misbehave.
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

// Config has the server's URL and its users, clients and resource servers.
type Config struct {
	URL       string // the issuer: an http URL on a loopback host, without a trailing slash
	User      User
	Clients   []Client
	Resources []Resource

	// Observe, if set, is called after requests to /authorize and its callback, POST
	// /login and /consent, and /oauth/introspect. Requests without a known authorization
	// request are left out. state is the state parameter of the authorization request.
	Observe func(endpoint, state string, e journal.Exchange)
}

// A User is the only account of the server. Code is the second factor, and never changes. If
// it is empty, the user has only the password.
type User struct{ Subject, Login, Password, Name, Code string }

// The values of acr: what the user has shown at the login.
const (
	ACRPassword = "urn:example:password"
	ACRCode     = "urn:example:mfa" // the code as well
)

// A Resource is a resource server for which clients can request tokens (RFC 8707). It
// can introspect these tokens with its client ID and secret.
type Resource struct{ ID, ClientID, ClientSecret string }

// A Server is the authorization server. It is an [http.Handler].
type Server struct {
	config   Config
	storage  *storage
	provider *op.Provider
	handler  http.Handler
	down     atomic.Bool
}

// New makes a server. If the host of Config.URL is not a loopback host, it returns an
// error.
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
		op.WithAllowInsecure(), // allows http, which is safe on loopback
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
	mux.Handle("/authorize", s.observe(s.withIss(s.provider)))
	mux.Handle("/authorize/callback", s.observe(s.withIss(s.provider)))
	mux.HandleFunc("GET /login", s.loginPage)
	mux.HandleFunc("GET /consent", s.consentPage)
	mux.HandleFunc("GET /style.css", s.style)
	// A page of a different site must not be able to consent in the user's name.
	sameSite := http.NewCrossOriginProtection()
	mux.Handle("POST /login", sameSite.Handler(s.observe(http.HandlerFunc(s.login))))
	mux.Handle("POST /consent", sameSite.Handler(s.observe(s.withIss(http.HandlerFunc(s.consent)))))
	mux.Handle("POST /oauth/token", http.HandlerFunc(s.token))
	mux.Handle("POST /oauth/introspect", s.observe(s.provider))
	return mux
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.down.Load() {
		panic(http.ErrAbortHandler) // closes the connection without a response
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	n := &notes{resource: r.FormValue("resource")}
	s.handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), notesKey{}, n)))
}

// notes pass data between the HTTP handlers and the storage, in the context of a
// request. They are needed, for example, because op drops the parameter resource,
// which it does not know.
type notes struct {
	resource string // to the storage: the resource parameter (RFC 8707)
	state    string // to observe: the state of the request's flow
	backdate bool   // in a token request: backdate the token
}

type notesKey struct{}

func notesFrom(ctx context.Context) *notes {
	if n, ok := ctx.Value(notesKey{}).(*notes); ok {
		return n
	}
	return &notes{}
}

// observe passes each exchange to Config.Observe, if its flow is known.
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
	"/oauth/introspect":   "The resource server introspects the token",
}

// withIss adds iss to authorization responses, including errors (RFC 9207 §2), because
// op does not. Every redirect to a different origin is an authorization response.
func (s *Server) withIss(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(&issWriter{w, s.config.URL}, r)
	})
}

type issWriter struct {
	http.ResponseWriter
	issuer string
}

func (w *issWriter) WriteHeader(status int) {
	location, err := url.Parse(w.Header().Get("Location"))
	if err == nil && location.IsAbs() && !strings.HasPrefix(location.String(), w.issuer+"/") {
		query := location.Query()
		query.Set("iss", w.issuer)
		location.RawQuery = query.Encode()
		w.Header().Set("Location", location.String())
	}
	w.ResponseWriter.WriteHeader(status)
}

// metadata serves the metadata (RFC 8414). It corrects op's document, which offers more
// than the storage supports and does not announce iss.
func (s *Server) metadata(w http.ResponseWriter, r *http.Request) {
	ctx := op.ContextWithIssuer(r.Context(), s.config.URL)
	document := struct {
		*oidc.DiscoveryConfiguration
		IssParameter bool     `json:"authorization_response_iss_parameter_supported"`
		Resources    []string `json:"protected_resources"` // RFC 9728 §4
	}{op.CreateDiscoveryConfig(ctx, s.provider, s.storage), true, slices.Sorted(maps.Keys(s.storage.resources))}
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

// token is the token endpoint. It makes two corrections to op's response. It adds
// Cache-Control: no-store (RFC 6749 §5.1), and if the granted scope lacks openid, it
// removes the ID token.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	answer := &buffer{header: w.Header()}
	s.provider.ServeHTTP(answer, r)
	w.Header().Set("Cache-Control", "no-store")
	body := answer.body.Bytes()
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) == nil && !bytes.Contains(members["scope"], []byte(oidc.ScopeOpenID)) {
		delete(members, "id_token")
		body, _ = json.Marshal(members) // cannot fail, because the members were just parsed
	}
	w.WriteHeader(answer.status)
	w.Write(body)
}

// A buffer is a ResponseWriter that keeps the status and the body in memory.
type buffer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (b *buffer) Header() http.Header         { return b.header }
func (b *buffer) WriteHeader(status int)      { b.status = status }
func (b *buffer) Write(p []byte) (int, error) { return b.body.Write(p) }

// Rotate makes a new signing key. The old key stays published until its tokens have
// expired. If withdraw is set, all old keys are removed at once, so their tokens become
// invalid.
func (s *Server) Rotate(withdraw bool) error { return s.storage.keys.rotate(withdraw) }

// KeyIDs returns the IDs and algorithms of the published keys, the signing key first.
func (s *Server) KeyIDs() []string {
	var ids []string
	for _, k := range s.storage.keys.published() {
		ids = append(ids, k.id+" ("+string(k.alg)+")")
	}
	return ids
}

// SetDown makes the server close the connection of every request without a response,
// until SetDown(false).
func (s *Server) SetDown(down bool) { s.down.Store(down) }

// Backdate makes the flow with this state end in a token that is backdated by an hour
// and has therefore expired. You must call it before the authorization request.
func (s *Server) Backdate(state string) {
	s.storage.mu.Lock()
	defer s.storage.mu.Unlock()
	s.storage.late[state] = true
}
