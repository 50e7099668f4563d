package conformance

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/accesstoken/accesstoken"
)

// An outcome is how one outcome code of the requirements looks on the wire.
type outcome struct {
	status    int
	code      string // as google.golang.org/grpc/codes prints it
	oauth     string // error of the challenge
	challenge bool
}

var outcomes = map[string]outcome{
	"OK":       {200, "OK", "", false},
	"ANON":     {200, "OK", "", false},
	"NOCRED":   {401, "Unauthenticated", "", true},
	"BADREQ":   {400, "Unauthenticated", "invalid_request", true},
	"INVTOK":   {401, "Unauthenticated", "invalid_token", true},
	"PROOF":    {401, "Unauthenticated", "invalid_dpop_proof", true},
	"NONCE":    {401, "Unauthenticated", "use_dpop_nonce", true},
	"SCOPE":    {403, "PermissionDenied", "insufficient_scope", true},
	"DETAILS":  {403, "PermissionDenied", "insufficient_scope", true},
	"REMEDY":   {401, "Unauthenticated", "insufficient_authorization", true},
	"STEPUP":   {401, "Unauthenticated", "insufficient_user_authentication", true},
	"FORBID":   {403, "PermissionDenied", "", false},
	"UNAVAIL":  {503, "Unavailable", "", false},
	"CONFIG":   {500, "Internal", "", false},
	"DEADLINE": {503, "DeadlineExceeded", "", false},
}

// Run sends each case over the adapters' transports that the case is for, and walks
// the outcome matrix. Cases and rows are subtests of t. Run compares each answer with
// the expected answer and with the answers over the other transports.
func Run(t *testing.T, adapters ...Adapter) {
	t.Helper()
	w := newWorld(adapters...)
	t.Cleanup(w.close)
	if len(w.transports) == 0 {
		t.Fatal("got no adapter; want one to send the cases through")
	}
	w.playAll(t, func(v vector) bool { return v.Only != "direct" && slices.ContainsFunc(w.transports, v.goesOver) })
	w.walkAll(t, func(way walk) bool { return slices.ContainsFunc(w.transports, way.goesOver) })
}

// playAll plays every wanted case.
func (w *world) playAll(t *testing.T, wanted func(vector) bool) {
	t.Helper()
	wire := wireReasons(t)
	for _, g := range groups(t) {
		t.Run(g.name, func(t *testing.T) {
			for _, v := range g.vectors {
				if wanted(v) {
					t.Run(v.ID+" "+v.Name, func(t *testing.T) { playCase(t, w, v, wire) })
				}
			}
		})
	}
}

// grpcCodes are the codes of the refusals in playDirectly, by their number.
var grpcCodes = map[uint32]string{
	4: "DeadlineExceeded", 7: "PermissionDenied", 13: "Internal", 14: "Unavailable", 16: "Unauthenticated",
}

// wireReasons maps each reason to the coarser reason that a gRPC client sees.
func wireReasons(t *testing.T) map[accesstoken.Reason]string {
	t.Helper()
	wire := map[accesstoken.Reason]string{}
	for _, r := range load[[]row](t, "testdata/matrix.json") {
		wire[r.Reason] = r.Wire
	}
	return wire
}

func playCase(t *testing.T, w *world, v vector, wire map[accesstoken.Reason]string) {
	want, ok := outcomes[v.Expect]
	if !ok {
		t.Fatalf("expect %q means nothing", v.Expect)
	}
	s := w.play(t, v)
	token := w.token(t, v.Token)
	credentials := accesstoken.Bearer(token)
	checkCanary(t, "the credentials, printed", fmt.Sprintf("%v %+v %#v %s %q %x", credentials, credentials, credentials, credentials, credentials, credentials), token)
	before := w.requests()
	e := expectation{outcome: want, reason: v.Reason, wire: wire[v.Reason], scope: v.Scope, dpop: v.offer(s), bare: v.Config.TokenField != "",
		own: v.Vouched || v.Config.Own != nil && v.Expect == "ANON", acrValues: v.ACRValues, maxAge: v.MaxAge, remedy: v.remedy(), published: v.Config.Metadata}
	if v.Only == "direct" {
		playDirectly(t, w, s, v, token, e)
	} else {
		playOnTransports(t, w, s, v, token, e)
	}
	for name, count := range w.grew(before) {
		if name == "elsewhere" || slices.Contains(v.Untouched, name) {
			t.Errorf("the server %q got %d requests; want none", name, count)
		}
	}
	if calls := s.calls.Load(); calls > 0 && slices.Contains(v.Untouched, "own") {
		t.Errorf("Authenticate got %d calls; want none", calls)
	}
	checkCanary(t, "the log", s.logs.String(), token)
	if s.unclean.Load() {
		t.Errorf("the log: got %q; want no control character in it", s.logs.String())
	}
}

// playDirectly calls the validator without a connection, for credentials that no
// client would send, and checks the refusal like a response.
func playDirectly(t *testing.T, w *world, s *scene, v vector, token string, e expectation) {
	t.Helper()
	credentials := accesstoken.CredentialsFrom(http.Header{"Authorization": texts{w: w, token: token}.lines(v)})
	_, err := s.validator.Authorize(t.Context(), credentials, s.policy)
	var refused *accesstoken.Error
	if !errors.As(err, &refused) {
		t.Fatalf("Authorize: got %v; want %s", err, v.Expect)
	}
	a := answer{transport: "Authorize", status: refused.HTTPStatus(), header: refused.Header(), body: refused.Public().Text}
	e.checkHTTP(t, a)
	if got := grpcCodes[refused.GRPCCode()]; got != e.code {
		t.Errorf("Authorize: got gRPC code %q; want %s", got, e.code)
	}
	e.checkTold(t, a.transport, s.told(), token)
	checkCanary(t, a.transport, a.text(), token)
}

func playOnTransports(t *testing.T, w *world, s *scene, v vector, token string, e expectation) {
	t.Helper()
	stage := w.set(t, s)
	var answers []answer
	for _, c := range w.transports {
		if !v.goesOver(c) {
			continue
		}
		r := v.request(t, w, token, c)
		secrets := token + "." + r.proof
		if v.Twice {
			s.letIn(t, stage, c, r)
		}
		a := ask(t, c, r)
		answers = append(answers, a)
		e.check(t, a)
		s.checkUses(t, a.transport, v)
		checkBrowserFields(t, a, v)
		if v.positive() {
			checkRuns(t, a.transport, stage.ran(), v, r, w)
			if told := s.told(); len(told) > 0 {
				t.Errorf("%s: OnRefuse was told %v; want nothing", a.transport, told)
			}
			continue
		}
		if ran := len(stage.ran()); ran != 0 {
			t.Errorf("%s: the handler ran %d times; want none", a.transport, ran)
		}
		e.checkTold(t, a.transport, s.told(), secrets)
		checkCanary(t, a.transport, a.text(), secrets)
		checkCanary(t, "the log", s.logs.String(), secrets)
	}
	if len(answers) == 0 {
		t.Error("the case goes over no transport")
		return
	}
	checkAgreement(t, answers)
}

// goesOver reports whether the case can be sent over the transport.
func (v vector) goesOver(c transport) bool {
	switch v.Only {
	case "http":
		return c.http
	case "grpc":
		return !c.http
	case "cleartext":
		return c.name == cleartext
	}
	return v.Certificate == "" || c.name != cleartext
}

// checkBrowserFields checks two header fields. If credentials are optional, or come in a
// field that caches do not know, Vary tells caches that the response depends on them
// (RFC 9110 §12.5.5). If CORS is on, scripts
// can read the challenge and the nonce. A field for which this does not hold must be
// absent.
func checkBrowserFields(t *testing.T, a answer, v vector) {
	t.Helper()
	want := map[string][]string{}
	if v.Config.Optional {
		want["Vary"] = []string{"Authorization"}
	}
	if v.Config.TokenField != "" && a.isHTTP() {
		want["Vary"] = []string{http.CanonicalHeaderKey(v.Config.TokenField)}
	}
	if v.Config.CORS && !v.positive() && v.Headers["Origin"] != nil {
		want["Access-Control-Expose-Headers"] = []string{"WWW-Authenticate"}
	}
	if v.Config.CORS && a.nonces() != nil {
		want["Access-Control-Expose-Headers"] = append(want["Access-Control-Expose-Headers"], "DPoP-Nonce")
	}
	for _, name := range []string{"Vary", "Access-Control-Expose-Headers"} {
		if got := a.header.Values(name); !slices.Equal(got, want[name]) {
			t.Errorf("%s: got %s %q; want %q", a.transport, name, got, want[name])
		}
	}
}

func (x texts) lines(v vector) []string {
	switch {
	case v.Lines != nil:
		return x.expandAll(v.Lines)
	case v.Proof != nil:
		return []string{"DPoP " + x.token}
	}
	return []string{"Bearer " + x.token}
}

func (v vector) request(t *testing.T, w *world, token string, c transport) request {
	t.Helper()
	x := texts{w: w, token: token, at: v.target(c)}
	if v.Proof != nil {
		x.proof = w.proof(t, x, *v.Proof)
	}
	r := request{
		lines: x.lines(v), method: v.method(), query: x.expand(v.Query), form: x.expand(v.Form),
		headers: map[string][]string{}, proof: x.proof, certificate: v.Certificate,
	}
	if v.Proof != nil {
		r.headers["DPoP"] = []string{x.proof}
	}
	if v.Proofs != nil {
		r.headers["DPoP"] = x.expandAll(v.Proofs)
	}
	for name, values := range v.Headers {
		r.headers[name] = x.expandAll(values)
	}
	return r
}

// remedy returns authorization_remediation of the challenge, or "".
func (v vector) remedy() string {
	if v.Remedy == nil {
		return ""
	}
	content := jsontext.Value(`{"authorization_details":` + string(v.Remedy) + `}`)
	if err := content.Canonicalize(); err != nil {
		panic("conformance: the remedy of " + v.Name + " is not JSON")
	}
	return base64.RawURLEncoding.EncodeToString(content)
}

func (v vector) method() string {
	if v.Method == "" {
		return http.MethodGet
	}
	return v.Method
}

// patience ends a request if the library is broken. No case should take this long.
const patience = 20 * time.Second

func ask(t *testing.T, c transport, r request) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	a, err := c.send(ctx, r)
	if err != nil {
		t.Fatalf("%s: got %v; want an answer", c.name, err)
	}
	a.transport = c.name
	return a
}

// An expectation is the answer that a request should get.
type expectation struct {
	outcome
	reason accesstoken.Reason // for OnRefuse
	wire   string             // the coarser reason of ErrorInfo; "" for no ErrorInfo
	scope  string             // of the challenge; "" for none
	dpop   *offer             // nil: the scheme DPoP is not offered
	bare   bool               // the challenge has only realm and error
	own    bool               // Authenticate is called

	acrValues string // of the challenge; "" for none
	maxAge    string // of the challenge; "" for none
	remedy    string // of the challenge; "" for none
	published bool   // each challenge names the metadata
}

// metadataURL is where the metadata of the resource server is.
const metadataURL = resource + "/.well-known/oauth-protected-resource"

func (e expectation) check(t *testing.T, a answer) {
	t.Helper()
	if a.isHTTP() {
		e.checkHTTP(t, a)
	} else {
		e.checkGRPC(t, a)
	}
}

func (e expectation) checkHTTP(t *testing.T, a answer) {
	t.Helper()
	if a.status != e.status {
		t.Errorf("%s: got status %d; want %d", a.transport, a.status, e.status)
	}
	e.checkChallenge(t, a)
	e.checkNonce(t, a)
	if e.status == http.StatusOK {
		// The handler decides about caching (RFC 9111 §3.5), not the adapter. But a nonce
		// is for one client only, so with one the adapter sets no-store. Of what
		// Authenticate reads, shared caches know nothing (§5.2.2.7).
		var want []string
		switch {
		case e.givesNonce():
			want = []string{"no-store"}
		case e.own:
			want = []string{"private"}
		}
		if got := a.header.Values("Cache-Control"); !slices.Equal(got, want) {
			t.Errorf("%s: got Cache-Control %q; want %q", a.transport, got, want)
		}
		return
	}
	if got := a.header.Values("Cache-Control"); !slices.Equal(got, []string{"no-store"}) {
		t.Errorf("%s: got Cache-Control %q; want no-store", a.transport, got)
	}
	seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
	switch {
	case e.status == http.StatusServiceUnavailable && (err != nil || seconds < 1):
		t.Errorf("%s: got Retry-After %q; want at least 1", a.transport, a.header.Values("Retry-After"))
	case e.status != http.StatusServiceUnavailable && a.header.Values("Retry-After") != nil:
		t.Errorf("%s: got Retry-After %q; want none", a.transport, a.header.Values("Retry-After"))
	}
}

// checkChallenge requires the exact set of parameters. An additional one is an error.
func (e expectation) checkChallenge(t *testing.T, a answer) {
	t.Helper()
	fields := a.challenge()
	if !e.challenge {
		if fields != nil {
			t.Errorf("%s: got the challenge %q; want none", a.transport, fields)
		}
		return
	}
	schemes := e.dpop.schemes()
	if len(fields) != len(schemes) {
		t.Errorf("%s: got the challenges %q; want one for each of %q", a.transport, fields, schemes)
		return
	}
	for i, want := range schemes {
		scheme, params, err := parseChallenge(fields[i])
		if err != nil || scheme != want {
			t.Errorf("%s: got the challenge %q (%v); want one of the scheme %s", a.transport, fields[i], err, want)
		}
		if want := e.params(i, params["error_description"]); !maps.Equal(params, want) {
			t.Errorf("%s: got the challenge parameters %q; want %q", a.transport, params, want)
		}
		checkAlphabet(t, a.transport, params)
	}
}

// params are the parameters that challenge number i should have. The error and the
// scope are in the challenge of the scheme that the client used, or in both if the
// scheme is unclear.
func (e expectation) params(i int, description string) map[string]string {
	params := map[string]string{"realm": resource}
	if e.published {
		params["resource_metadata"] = metadataURL
	}
	if e.dpop.schemes()[i] == "DPoP" {
		params["algs"] = e.dpop.algs
	}
	if i > 0 && !slices.Contains(unclear, e.reason) {
		return params
	}
	if e.oauth != "" {
		params["error"], params["error_description"] = e.oauth, description
	}
	if e.bare {
		delete(params, "error_description")
		return params
	}
	for name, value := range map[string]string{"scope": e.scope, "acr_values": e.acrValues, "max_age": e.maxAge, "authorization_remediation": e.remedy} {
		if value != "" {
			params[name] = value
		}
	}
	return params
}

// unclear are the refusals of credentials whose scheme is unclear.
var unclear = []accesstoken.Reason{
	accesstoken.CredentialsMissing, accesstoken.SchemeUnsupported, accesstoken.CredentialsMalformed, accesstoken.CredentialsAmbiguous,
}

// checkAlphabet checks RFC 6750 §3: only the realm may have a quote or a backslash.
func checkAlphabet(t *testing.T, transport string, params map[string]string) {
	t.Helper()
	for name, value := range params {
		if name != "realm" && strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
			t.Errorf("%s: got %s=%q; want only characters of RFC 6750 §3", transport, name, value)
		}
	}
}

const domain = "github.com/accesstoken/accesstoken"

func (e expectation) checkGRPC(t *testing.T, a answer) {
	t.Helper()
	if a.code != e.code {
		t.Errorf("%s: got code %q (%q); want %s", a.transport, a.code, a.message, e.code)
	}
	e.checkChallenge(t, a)
	e.checkNonce(t, a)
	details := 0
	if e.wire != "" {
		details++
		if a.info == nil {
			t.Errorf("%s: got no ErrorInfo; want the reason %q", a.transport, e.wire)
			return
		}
		if a.info.reason != e.wire || a.info.domain != domain {
			t.Errorf("%s: got ErrorInfo reason %q, domain %q; want %q, %q", a.transport, a.info.reason, a.info.domain, e.wire, domain)
		}
		e.checkMetadata(t, a)
	}
	if e.code == "Unavailable" {
		details++
		if got := a.retry; got < time.Second {
			t.Errorf("%s: got RetryInfo %v; want at least a second", a.transport, got)
		}
	}
	if a.details != details {
		t.Errorf("%s: got %d status details; want %d", a.transport, a.details, details)
	}
}

// checkMetadata checks that the metadata of ErrorInfo are the parameters of the first
// challenge, except algs, which only a DPoP challenge has.
func (e expectation) checkMetadata(t *testing.T, a answer) {
	t.Helper()
	params := map[string]string{}
	if fields := a.challenge(); len(fields) > 0 {
		_, params, _ = parseChallenge(fields[0])
		delete(params, "algs")
	}
	if got := a.info.metadata; !maps.Equal(got, params) {
		t.Errorf("%s: got ErrorInfo metadata %q; want %q as in the challenge", a.transport, got, params)
	}
}

// checkTold checks that OnRefuse was called once, with the exact reason, for an error
// that contains no part of the token. Call it only for a request that must be refused.
func (e expectation) checkTold(t *testing.T, transport string, told []*accesstoken.Error, token string) {
	t.Helper()
	if len(told) != 1 {
		t.Errorf("%s: OnRefuse was told %v; want one refusal", transport, told)
		return
	}
	refused := told[0]
	if refused.Reason != e.reason {
		t.Errorf("%s: OnRefuse was told %q (%v); want %q", transport, refused.Reason, refused, e.reason)
	}
	if got := errors.Is(refused, accesstoken.Unavailable); got != (e.status == http.StatusServiceUnavailable) {
		t.Errorf("%s: errors.Is(err, Unavailable): got %v; want it for 503 only", transport, got)
	}
	checkCanary(t, transport+", the error", fmt.Sprintf("%v %+v %#v %s", refused, refused, refused, refused.Public().Text), token)
}

// checkRuns checks that the handler ran once and found the caller.
func checkRuns(t *testing.T, transport string, runs []run, v vector, r request, w *world) {
	t.Helper()
	if len(runs) != 1 {
		t.Errorf("%s: the handler ran %d times; want once", transport, len(runs))
		return
	}
	got := runs[0]
	if got.ok != (v.Expect == "OK") {
		t.Errorf("%s: the handler finds claims: got %v; want %v", transport, got.ok, v.Expect == "OK")
	}
	if !strings.HasPrefix(transport, "gRPC") && got.body != r.form {
		t.Errorf("%s: the handler reads the body %q; want %q", transport, got.body, r.form)
	}
	if got.ok {
		checkClaims(t, transport, got.claims, v, w)
	}
}

func checkClaims(t *testing.T, transport string, claims accesstoken.Claims, v vector, w *world) {
	t.Helper()
	checkCanary(t, transport+", the claims, printed", fmt.Sprintf("%v %+v %#v %s", claims, claims, claims, claims), "")
	subject, granted, issuer := canary+"-subject", canary+":scope", w.server(v.Token.Signer).URL
	if v.Vouched {
		issuer = cmp.Or(v.Config.Own.Issuer, "api-keys")
	}
	if v.Subject != nil {
		subject = texts{w: w}.expand(*v.Subject)
	}
	if v.Granted != nil {
		granted = *v.Granted
	}
	if v.Config.Issuer.URL != "" {
		issuer = texts{w: w}.expand(v.Config.Issuer.URL)
	}
	if len(v.Config.Issuer.Tenants) > 0 {
		issuer = strings.ReplaceAll(issuer, "{tenantid}", v.Config.Issuer.Tenants[0])
	}
	if v.Client != nil && claims.ClientID != (texts{w: w}).expand(*v.Client) {
		t.Errorf("%s: got client %q; want %q", transport, claims.ClientID, *v.Client)
	}
	if v.Itself != nil && claims.ClientItself() != *v.Itself {
		t.Errorf("%s: the client acts for itself: got %v; want %v", transport, claims.ClientItself(), *v.Itself)
	}
	if actor, delegated := claims.Actor(); v.Actor != nil && (!delegated || actor != (accesstoken.Actor)(*v.Actor)) {
		t.Errorf("%s: got the actor %+v, %v; want %+v", transport, actor, delegated, *v.Actor)
	}
	if claims.Issuer != issuer || claims.Subject != subject || claims.Scopes().String() != granted {
		t.Errorf("%s: got iss %q, sub %q, scope %q; want %q, %q, %q", transport,
			claims.Issuer, claims.Subject, claims.Scopes(), issuer, subject, granted)
	}
}

// checkAgreement checks that all transports give the same challenge, and that those
// of one kind, HTTP or gRPC, give the same header and message.
func checkAgreement(t *testing.T, answers []answer) {
	t.Helper()
	for i, a := range answers {
		first := answers[0]
		if !slices.Equal(a.challenge(), first.challenge()) {
			t.Errorf("%s: got the challenge %q; want %q as with %s", a.transport, a.challenge(), first.challenge(), first.transport)
		}
		alike := answers[slices.IndexFunc(answers[:i+1], func(b answer) bool { return a.isHTTP() == b.isHTTP() })]
		if !maps.EqualFunc(ours(a.header), ours(alike.header), slices.Equal[[]string]) {
			t.Errorf("%s: got the header %v; want %v as with %s", a.transport, ours(a.header), ours(alike.header), alike.transport)
		}
		if a.message != alike.message {
			t.Errorf("%s: got the message %q; want %q as with %s", a.transport, a.message, alike.message, alike.transport)
		}
	}
}

// ours returns a copy of the header without the fields that the HTTP server or the
// writer of the body sets. In Echo, the application's error handler writes the body.
// Retry-After is left out, because its value depends on the time.
func ours(header http.Header) http.Header {
	left := header.Clone()
	for _, name := range []string{"Date", "Content-Length", "Content-Type", "X-Content-Type-Options", "Retry-After"} {
		left.Del(name)
	}
	return left
}

// text is everything that a client can read, except the status or code.
func (a answer) text() string {
	info := errorInfo{}
	if a.info != nil {
		info = *a.info
	}
	return fmt.Sprint(a.header, a.body, a.message, a.trailer, info, a.retry)
}

// checkCanary checks that a text contains neither the canary nor a part of the token
// that is longer than 8 bytes.
func checkCanary(t *testing.T, where, text, token string) {
	t.Helper()
	if strings.Contains(text, canary) {
		t.Errorf("%s: got %q; want nothing of a claim, a kid or an upstream message in it", where, text)
	}
	for part := range strings.SplitSeq(token, ".") {
		if len(part) > 8 && strings.Contains(text, part) {
			t.Errorf("%s: got %q; want nothing of the token in it", where, text)
		}
	}
}

// parseChallenge reads one challenge with quoted parameters (RFC 9110 §11.6.1),
// and rejects a duplicate parameter (RFC 6750 §3).
func parseChallenge(text string) (scheme string, params map[string]string, err error) {
	scheme, rest, _ := strings.Cut(text, " ")
	params = map[string]string{}
	for rest != "" {
		name, quoted, found := strings.Cut(rest, `="`)
		end := closing(quoted)
		if !found || end < 0 {
			return scheme, params, fmt.Errorf("%q is not a parameter", rest)
		}
		if _, twice := params[name]; twice {
			return scheme, params, fmt.Errorf("duplicate parameter %s", name)
		}
		params[name] = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(quoted[:end])
		rest = strings.TrimPrefix(quoted[end+1:], ", ")
	}
	if len(params) == 0 {
		return scheme, params, errors.New("a challenge has at least one parameter")
	}
	return scheme, params, nil
}

// closing returns where a quoted-string ends, or -1.
func closing(quoted string) int {
	for i := 0; i < len(quoted); i++ {
		switch quoted[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}
