package conformance

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/jwks"
	"github.com/accesstoken/accesstoken/resourcemetadata"
	"github.com/accesstoken/accesstoken/scopes"
)

// A world is shared by all cases. It has two authorization servers, whose keys have
// the same kids on purpose, and the resource servers. Cases must run one at a time.
type world struct {
	as, other *accesstokentest.Server

	sender, thief *accesstokentest.Server // hold the keys of clients, and get no requests
	certificates  map[string]*certificate // of clients
	nonces        dpop.Config             // of the current case

	network    *network
	servers    []*servers
	transports []transport

	outbound  *outbound                           // the HTTP client of the cases' validators
	now       time.Time                           // the time of the current case, during which the clock is stopped
	published map[keyID]map[string]jsontext.Value // the good public keys
	keySets   map[*accesstokentest.Server]http.Handler
}

type keyID struct {
	of  *accesstokentest.Server
	alg string
}

func newWorld(adapters ...Adapter) *world {
	w := &world{
		as:    must(accesstokentest.Start()),
		other: must(accesstokentest.Start()),

		sender:       must(accesstokentest.Start()),
		thief:        must(accesstokentest.Start()),
		certificates: map[string]*certificate{"": newCertificate(), "thief": newCertificate()},
	}
	w.certificates["sender"] = w.certificates[""]
	w.outbound = newOutbound(w.as.Client())
	w.network = newNetwork(w.as.Client(), w.certificates)
	for _, adapter := range adapters {
		started := adapter.start(w.network)
		w.servers = append(w.servers, started)
		w.transports = append(w.transports, started.transports...)
	}
	w.publish()
	return w
}

// set makes every adapter protect the resource of a scene.
func (w *world) set(t *testing.T, s *scene) *Resource {
	t.Helper()
	next := &Resource{Validator: s.validator, Policy: s.policy, Optional: s.optional, CORS: s.cors, deadline: s.deadline}
	for _, servers := range w.servers {
		if err := servers.protect(next); err != nil {
			t.Fatal(err)
		}
	}
	return next
}

// publish prepares the good key sets, once. Both servers use the same kids, so that a
// case fails if a kid finds the key of another issuer. The kids contain the canary,
// because they must not appear in a response.
func (w *world) publish() {
	w.published = map[keyID]map[string]jsontext.Value{}
	w.keySets = map[*accesstokentest.Server]http.Handler{}
	for _, name := range []string{"as", "other"} {
		var all []keyDoc
		for _, key := range w.server(name).Keys() {
			marshal := key.Marshal()
			marshal.KID = canary + "-" + marshal.ALG.String()
			w.published[keyID{w.server(name), marshal.ALG.String()}] = members(string(must(json.Marshal(marshal))))
			all = append(all, keyDoc{Of: name, Alg: marshal.ALG.String()})
		}
		w.keySets[w.server(name)] = w.keySet(all)
	}
}

func (w *world) close() {
	w.network.close()
	for _, s := range w.servers {
		s.close()
	}
	w.outbound.client.CloseIdleConnections()
	w.as.Client().CloseIdleConnections()
	w.other.Client().CloseIdleConnections()
	for _, server := range []*accesstokentest.Server{w.as, w.other, w.sender, w.thief} {
		server.Close()
	}
}

func (w *world) server(name string) *accesstokentest.Server {
	switch name {
	case "", "as":
		return w.as
	case "other":
		return w.other
	case "sender":
		return w.sender
	case "thief":
		return w.thief
	}
	panic("conformance: no server is called " + name)
}

var endpoints = []string{
	accesstokentest.OAuthMetadataPath,
	accesstokentest.OpenIDMetadataPath,
	accesstokentest.JWKSPath,
	accesstokentest.IntrospectionPath,
}

// restore puts both authorization servers into their good state.
func (w *world) restore() {
	for server, keys := range w.keySets {
		for _, path := range endpoints {
			server.Handle(path, nil)
		}
		server.Handle(accesstokentest.JWKSPath, keys)
	}
}

func (w *world) keySet(keys []keyDoc) http.Handler {
	var written []string
	for _, key := range keys {
		written = append(written, string(w.jwk(key)))
	}
	return answers(`{"keys":[` + strings.Join(written, ",") + `]}`)
}

// bundle returns a SPIFFE bundle of the keys, or of all of the server's if keys is nil.
// The use of each is jwt-svid unless the case sets another.
func (w *world) bundle(server *accesstokentest.Server, keys []keyDoc) []byte {
	if keys == nil {
		for id := range w.published {
			if id.of == server {
				keys = append(keys, keyDoc{Of: w.nameOf(server), Alg: id.alg})
			}
		}
	}
	var written []string
	for _, key := range keys {
		set := members(`{"use": "jwt-svid"}`)
		maps.Copy(set, key.Set)
		if string(set["use"]) == "null" {
			delete(set, "use")
		}
		written = append(written, string(w.jwk(keyDoc{Of: key.Of, Alg: key.Alg, Set: set})))
	}
	return []byte(`{"keys":[` + strings.Join(written, ",") + `]}`)
}

func (w *world) nameOf(server *accesstokentest.Server) string {
	if server == w.other {
		return "other"
	}
	return "as"
}

func (w *world) jwk(doc keyDoc) []byte {
	published, ok := w.published[keyID{w.server(doc.Of), doc.Alg}]
	if doc.Alg != "" && !ok {
		panic("conformance: no key is for " + doc.Alg)
	}
	for name, value := range doc.Set {
		if _, ok := published[name]; value.Kind() == 'n' && !ok {
			panic("conformance: the key for " + doc.Alg + " has no " + name + " to remove")
		}
	}
	return texts{w: w}.object(with(published, doc.Set))
}

// An outbound has the HTTP client that the library uses in the cases. It counts
// requests by host.
type outbound struct {
	client *http.Client
	mu     sync.Mutex
	hosts  map[string]int
}

func newOutbound(trusting *http.Client) *outbound {
	o := &outbound{hosts: map[string]int{}}
	transport := trusting.Transport.(*http.Transport).Clone()
	transport.Proxy = o.count // called for every request; no proxy is used
	o.client = &http.Client{Transport: transport}
	return o
}

func (o *outbound) count(r *http.Request) (*url.URL, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hosts["https://"+r.URL.Host]++
	return nil, nil
}

// requests returns the number of requests to each server so far. The key "elsewhere"
// has the requests to any other host.
func (w *world) requests() map[string]int {
	w.outbound.mu.Lock()
	defer w.outbound.mu.Unlock()
	count := map[string]int{}
	for host, requests := range w.outbound.hosts {
		switch host {
		case w.as.URL:
			count["as"] = requests
		case w.other.URL:
			count["other"] = requests
		default:
			count["elsewhere"] += requests
		}
	}
	return count
}

// spoil puts the authorization server into the state of a case.
func (w *world) spoil(t *testing.T, s state) {
	t.Helper()
	for path, fault := range map[string]string{
		accesstokentest.OAuthMetadataPath:  s.Metadata,
		accesstokentest.OpenIDMetadataPath: s.Metadata,
		accesstokentest.JWKSPath:           s.JWKS,
		accesstokentest.IntrospectionPath:  s.Introspection,
	} {
		if fault != "" {
			w.as.Handle(path, w.fault(t, fault))
		}
	}
	if s.Keys != nil {
		w.as.Handle(accesstokentest.JWKSPath, w.keySet(s.Keys))
	}
}

func (w *world) fault(t *testing.T, fault string) http.Handler {
	t.Helper()
	if body, ok := strings.CutPrefix(fault, "body:"); ok {
		return answers(texts{w: w}.expand(body))
	}
	if status, err := strconv.Atoi(fault); err == nil {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Location", w.other.URL+r.URL.Path)
			rw.Header().Set("Content-Type", "application/json")
			rw.WriteHeader(status)
			_, _ = io.WriteString(rw, `{"error":"`+canary+`","keys":[],"active":true}`)
		})
	}
	handler, ok := faults[fault]
	if !ok {
		t.Fatalf("the fault %q means nothing", fault)
	}
	return handler
}

var faults = map[string]http.HandlerFunc{
	"junk": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<html>"+canary+" is down for maintenance</html>")
	},
	"hang": func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // net/http watches the connection only after the body
		<-r.Context().Done()
		// A return would send an empty 200. If that response arrived while the
		// connection was being closed, net/http's client would accept it even after
		// its timeout.
		panic(http.ErrAbortHandler)
	},
	"drop": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	"huge": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"active":true,"pad":"`)
		_, _ = w.Write(bytes.Repeat([]byte("x"), 2<<20))
		_, _ = io.WriteString(w, `"}`)
	},
}

func answers(body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	})
}

// A scene is one case while it runs: a validator, its log and its refusals.
type scene struct {
	validator *accesstoken.Validator
	policy    accesstoken.Policy
	optional  bool
	cors      bool
	deadline  time.Duration
	calls     atomic.Int32 // of Authenticate
	later     atomic.Int64 // how far the clock was advanced, in nanoseconds
	dpop      *dpop.Verifier
	store     *countingStore

	logs     safeBuffer
	unclean  atomic.Bool // an attribute of the log had a control character
	mu       sync.Mutex
	refusals []*accesstoken.Error
}

// play prepares the scene of a case. The scene is closed when the test ends.
func (w *world) play(t *testing.T, v vector) *scene {
	t.Helper()
	w.restore()
	// Signed answers carry the real time, so the clock must show about that time.
	now := time.Now().Truncate(time.Second)
	w.now = now
	s := &scene{policy: w.policyOf(t, v.Config), optional: v.Config.Optional, cors: v.Config.CORS, deadline: duration(t, v.Config.Deadline)}
	clock := func() time.Time { return now.Add(time.Duration(s.later.Load())) }
	s.offer(t, w, v.Config.DPoP, clock)
	config := accesstoken.Config{
		Resource:     resource,
		DPoP:         s.dpop,
		FAPI2:        v.Config.FAPI2,
		TokenField:   v.Config.TokenField,
		ScopeImplies: v.Config.Implies,
		ACROrder:     v.Config.ACROrder,
		DetailTypes:  v.Config.detailTypes(),
		Audience:     v.Config.Audience,
		Leeway:       duration(t, v.Config.Leeway),
		HTTPClient:   w.client(duration(t, v.Config.HTTPTimeout)),
		Logger:       s.logger(),
		Now:          clock,
		OnRefuse:     s.onRefuse,
		Issuers:      []accesstoken.Issuer{w.issuer(t, w.as, v.Config.Issuer, v)},
	}
	config.DraftRARMetadataRemediation = v.Config.DraftRAR
	if v.Config.Metadata {
		config.Metadata = &resourcemetadata.Metadata{}
	}
	if v.Config.Other != nil {
		config.Issuers = append(config.Issuers, w.issuer(t, w.other, *v.Config.Other, v))
	}
	if v.Config.Forwarded != nil {
		config.ForwardedCertificate = v.Config.Forwarded.forwarded(t)
	}
	if v.Config.Own != nil {
		config.Authenticate = s.authenticate(t, w, *v.Config.Own)
	}
	s.open(t, config)
	if v.Issuer.Warm {
		if err := s.validator.Warm(t.Context()); err != nil {
			t.Fatalf("Warm: got %v; want nil", err)
		}
	}
	for i := range v.Issuer.Invented {
		token := w.token(t, recipe{Header: members(fmt.Sprintf(`{"kid": "made-up-%d"}`, i))})
		if _, err := s.validator.Validate(t.Context(), accesstoken.Bearer(token)); err == nil {
			t.Fatal("a made-up kid: got nil; want a refusal")
		}
	}
	_ = s.told()
	w.spoil(t, v.Issuer)
	return s
}

// detailTypes returns the types of the policy, and payment, or nil if no policy asks.
func (s setup) detailTypes() map[string]accesstoken.DetailType {
	if s.Details == nil && !s.DraftRAR {
		return nil
	}
	types := map[string]accesstoken.DetailType{"payment": {}}
	for _, d := range s.Details {
		types[d.Type] = accesstoken.DetailType{}
	}
	return types
}

// authenticate returns the hook of a case. It reads the header of the request, and its
// method and path, so a transport without an HTTP request has to make one.
func (s *scene) authenticate(t *testing.T, w *world, own ownSetup) func(context.Context, *http.Request) (accesstoken.Identity, error) {
	t.Helper()
	verdicts := map[string]error{
		"": nil, "deny": accesstoken.Deny(accesstoken.PolicyDenied, nil), "error": errors.New("the hook broke"),
		"down": fmt.Errorf("the keys are down: %w", accesstoken.Unavailable),
	}
	scope, ends := canary+":scope", time.Hour
	if own.Scope != nil {
		scope = *own.Scope
	}
	if own.Ends != "" {
		ends = duration(t, own.Ends)
	}
	end := w.now.Add(ends)
	return func(_ context.Context, r *http.Request) (accesstoken.Identity, error) {
		s.calls.Add(1)
		err, known := verdicts[own.Says]
		switch {
		case own.Says == "nothing" || r.Header.Get("X-Api-Key") == "":
			return accesstoken.Identity{}, nil
		case r.Method == "" || r.URL.Path == "":
			return accesstoken.Identity{}, errors.New("the request has no method or no path")
		case own.Says == "panic":
			panic(canary)
		case !known:
			err = fmt.Errorf("the hook says: %w", accesstoken.Reason(own.Says))
		}
		return accesstoken.Identity{
			Issuer: cmp.Or(texts{w: w}.expand(own.Issuer), "api-keys"), Subject: canary + "-subject", ClientID: canary + "-client", ID: canary,
			Scopes: scopes.Parse(scope), Expiry: end, Payload: []byte(`{"` + canary + `":"` + canary + `"}`),
		}, err
	}
}

// logger logs at every level, so that the tests see all lines. It notices control
// characters before the text handler escapes them, because another handler may not
// escape them.
func (s *scene) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(&s.logs, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if strings.ContainsFunc(a.Value.String(), unicode.IsControl) {
			s.unclean.Store(true)
		}
		return a
	}}))
}

func (s *scene) open(t *testing.T, config accesstoken.Config) {
	t.Helper()
	var err error
	if s.validator, err = accesstoken.NewValidator(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.validator.Close() })
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (w *world) client(timeout time.Duration) *http.Client {
	return &http.Client{Transport: w.outbound.client.Transport, Timeout: timeout}
}

func (w *world) policyOf(t *testing.T, c setup) accesstoken.Policy {
	t.Helper()
	policy := accesstoken.Policy{
		Scopes: scopes.None(), SenderConstrained: c.Constrained, SPIFFEIDs: c.SPIFFEIDs,
		ACR: c.ACR, MaxAuthAge: duration(t, c.MaxAuthAge), AMR: c.AMR,
		RefuseDelegated: c.Undelegated,
	}
	for _, a := range c.Actors {
		policy.Actors = append(policy.Actors, accesstoken.Actor{Issuer: texts{w: w}.expand(a.Issuer), Subject: a.Subject, ClientID: a.ClientID})
	}
	for _, d := range c.Details {
		policy.Details = append(policy.Details, accesstoken.DetailRequirement{Type: d.Type, Actions: d.Actions, Location: d.Location, Identifier: d.Identifier})
	}
	switch {
	case c.All != nil:
		policy.Scopes = scopes.All(c.All...)
	case c.Any != nil:
		policy.Scopes = scopes.Any(c.Any...)
	}
	return policy
}

func (w *world) issuer(t *testing.T, server *accesstokentest.Server, c issuerSetup, v vector) accesstoken.Issuer {
	t.Helper()
	x := texts{w: w}
	issuer := accesstoken.Issuer{
		URL:                         server.URL,
		MetadataURL:                 x.expand(c.MetadataURL),
		JWKSURI:                     x.expand(c.JWKSURI),
		TokenPrefix:                 c.TokenPrefix,
		Audience:                    x.expandAll(c.Audience),
		Algorithms:                  c.Algorithms,
		Clients:                     x.expandAll(c.Clients),
		Profile:                     profile(t, c.Profile),
		AlwaysIntrospect:            c.AlwaysIntrospect,
		Tenants:                     c.Tenants,
		Demand:                      c.Demand,
		MaxAge:                      duration(t, c.MaxAge),
		MaxLifetime:                 duration(t, c.MaxLifetime),
		SingleAudience:              c.SingleAudience,
		DangerouslyAcceptNoAudience: c.NoAudience,
	}
	if c.Accept != "" {
		issuer.Accept = accept(t, c.Accept)
	}
	if c.URL != "" {
		issuer.URL = x.expand(c.URL)
	}
	if strings.HasPrefix(issuer.URL, "spiffe://") {
		issuer.Keys = must(jwks.ReadBundle(w.bundle(server, v.Issuer.Keys)))
	}
	for _, demand := range c.Relax {
		relax(t, &issuer.Relax, demand)
	}
	if c.Introspection {
		config := introspection.Config{
			Endpoint:         server.IntrospectionEndpoint(),
			ClientID:         accesstokentest.ClientID,
			ClientSecret:     accesstokentest.ClientSecret,
			RequireTokenType: c.RequireTokenType,
			CacheFor:         duration(t, c.CacheFor),
			Timeout:          duration(t, v.Config.HTTPTimeout),
			HTTPClient:       w.client(0),
		}
		if c.SignedAnswers {
			config.Issuer, config.Keys = server.URL, jwks.Static(server.Keys()...)
		}
		issuer.Introspection = must(introspection.NewClient(config))
	}
	return issuer
}

func profile(t *testing.T, name string) accesstoken.Profile {
	t.Helper()
	for p := accesstoken.RFC9068; p < 100; p++ {
		if name == "" || strings.HasPrefix(p.String(), name+" relaxes") {
			return p
		}
	}
	t.Fatalf("no profile is called %q", name)
	return 0
}

// accept returns a hook that requires the private claim. The hook's result is named by
// the case: "ok", "deny", "panic", "error", or a reason.
func accept(t *testing.T, verdict string) func(context.Context, accesstoken.Claims) error {
	t.Helper()
	verdicts := map[string]error{
		"ok": nil, "deny": accesstoken.Deny(accesstoken.PolicyDenied, nil), "error": errors.New("the hook broke"),
	}
	err, known := verdicts[verdict]
	return func(_ context.Context, claims accesstoken.Claims) error {
		var private struct {
			Private map[string][]string `json:"private"`
		}
		switch {
		case claims.Decode(&private) != nil || private.Private[canary] == nil:
			return accesstoken.ClaimInvalid
		case verdict == "panic":
			panic("the hook broke")
		case known:
			return err
		}
		return fmt.Errorf("the hook says: %w", accesstoken.Reason(verdict))
	}
}

func relax(t *testing.T, r *accesstoken.Relax, demand string) {
	t.Helper()
	field, ok := map[string]*bool{"Typ": &r.Typ, "JTI": &r.JTI, "ClientID": &r.ClientID, "ScopeArray": &r.ScopeArray}[demand]
	if !ok {
		t.Fatalf("Relax has no field %q", demand)
	}
	*field = true
}

func (s *scene) onRefuse(_ context.Context, refused *accesstoken.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals = append(s.refusals, refused)
}

// told returns the refusals that OnRefuse got since the last call.
func (s *scene) told() []*accesstoken.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	told := s.refusals
	s.refusals = nil
	return told
}

// A safeBuffer is safe for concurrent use.
type safeBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// grew returns the number of requests to each server since the counts in before,
// without servers that got none.
func (w *world) grew(before map[string]int) map[string]int {
	grown := map[string]int{}
	for name, count := range w.requests() {
		if count > before[name] {
			grown[name] = count - before[name]
		}
	}
	return grown
}
