package accesstoken_test

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/jwks"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/middleware/echoauth"
	"github.com/accesstoken/accesstoken/scopes"
)

// canary begins every text that a request, a token or a server brings, and that
// nobody else may see.
const canary = "kanarie7x"

// mark is the canary of one place, so that a test can tell which it was.
func mark(place string) string { return canary + "-" + place }

// disguises are what becomes of the canary in base64, wherever it begins in a
// group of three bytes, in hex and as a list of bytes.
var disguises = func() []string {
	found := []string{hex.EncodeToString([]byte(canary)), strings.Trim(fmt.Sprint([]byte(canary)), "[]")}
	for before := range 3 {
		encoded := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("x", before) + canary + "xxx"))
		found = append(found, encoded[(before*8+5)/6:(before+len(canary))*8/6])
	}
	return found
}()

// leaks returns the lines of a text that have the canary or a piece of the secret
// texts in them, beside the places that it may show.
func leaks(text string, secrets, shown []string) (found []string) {
	hide := []string{}
	for _, place := range shown {
		plain := mark(place)
		hide = append(hide, plain, "", fmt.Sprintf("%x", plain), "", fmt.Sprintf("%X", plain), "")
	}
	pieces := piecesOf(secrets)
	for line := range strings.SplitSeq(strings.NewReplacer(hide...).Replace(text), "\n") {
		if hasCanary(line) || hasPiece(line, pieces) {
			found = append(found, line[:min(len(line), 500)])
		}
	}
	return found[:min(len(found), 3)]
}

func hasCanary(line string) bool {
	lower := strings.ToLower(line)
	return strings.Contains(lower, canary) || slices.ContainsFunc(disguises, func(disguise string) bool {
		return strings.Contains(line, disguise) || strings.Contains(lower, disguise)
	})
}

// piece is how many bytes of a secret are too many.
const piece = 20

func piecesOf(secrets []string) map[string]bool {
	pieces := map[string]bool{}
	for _, secret := range secrets {
		for i := 0; i+piece <= len(secret); i++ {
			pieces[secret[i:i+piece]] = true
		}
	}
	return pieces
}

func hasPiece(line string, pieces map[string]bool) bool {
	for i := 0; i+piece <= len(line); i++ {
		if pieces[line[i:i+piece]] {
			return true
		}
	}
	return false
}

func TestTheCanaryIsFoundInItsDisguises(t *testing.T) {
	for _, before := range []string{"", "a", "ab", "abc"} {
		raw := []byte(before + mark("x"))
		for _, text := range []string{
			string(raw), strings.ToUpper(string(raw)), base64.StdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw), fmt.Sprintf("%x %d", raw, 1), fmt.Sprintf("%d", raw),
		} {
			if leaks(text, nil, nil) == nil {
				t.Errorf("%q: got nothing; want the canary found", text)
			}
		}
	}
	secret := strings.Repeat("0123456789", 3)
	if leaks("... "+secret[5:26]+" ...", []string{secret}, nil) == nil || leaks(secret[:19], []string{secret}, nil) != nil {
		t.Error("a piece of a secret: want twenty bytes found, and not fewer")
	}
	if leaks("aud is "+mark("aud"), nil, []string{"aud"}) != nil || leaks("aud is "+mark("aud"), nil, []string{"sub"}) == nil {
		t.Error("want one place shown, and no other")
	}
}

// A diary is a slog.Handler that keeps everything, of every level.
type diary struct {
	mu   sync.Mutex
	text strings.Builder
}

func (d *diary) Enabled(context.Context, slog.Level) bool { return true }

func (d *diary) Handle(_ context.Context, record slog.Record) error {
	d.write(fmt.Sprintln(record.Level, record.Message))
	record.Attrs(func(a slog.Attr) bool {
		value := a.Value.Resolve().Any()
		d.write(fmt.Sprintf("%s=%s %+v %#v\n", a.Key, a.Value, value, value))
		return true
	})
	return nil
}

func (d *diary) WithAttrs(attrs []slog.Attr) slog.Handler {
	d.write(fmt.Sprintln(attrs))
	return d
}

func (d *diary) WithGroup(name string) slog.Handler {
	d.write(name)
	return d
}

func (d *diary) write(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.text.WriteString(text)
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.String()
}

// everyForm prints a value in every way that a program might, on purpose or not.
// %p is not among them: it asks no value what it has to say for itself.
func everyForm(value any) string {
	var text bytes.Buffer
	for _, verb := range strings.Fields("%v %+v %#v %s %q %x %X %d %t %T") {
		fmt.Fprintf(&text, verb+"\n", value)
	}
	marshalled, err := json.Marshal(value)
	fmt.Fprintln(&text, string(marshalled), err)
	for _, handler := range []slog.Handler{slog.NewTextHandler(&text, nil), slog.NewJSONHandler(&text, nil)} {
		slog.New(handler).With("with", value).WithGroup("group").Info("said", "value", value, slog.Group("g", "value", value), "list", []any{value})
	}
	return text.String()
}

// allForms prints it inside others as well, as far as fmt may ask those for their
// values.
func allForms(value any) string {
	var b strings.Builder
	b.WriteString(everyForm(value))
	b.WriteString(everyForm([]any{value}))
	b.WriteString(everyForm(map[string]any{"a": value}))
	b.WriteString(everyForm(struct{ Value any }{value}))
	b.WriteString(everyForm(&struct{ Value any }{value}))
	if err, ok := value.(error); ok {
		b.WriteString(everyForm(fmt.Errorf("wrapped: %w", err)))
		b.WriteString(everyForm(errors.Join(err, err)))
	}
	return b.String()
}

// A scene is what a way to a refusal arranges.
type scene struct {
	as     *accesstokentest.Server
	config accesstoken.Config
	policy accesstoken.Policy
	ctx    context.Context
	deny   error // what a handler that is let in says

	closed bool // the validator is, before it is asked
}

// A way leads to a refusal. It returns the Authorization lines of a request.
type way struct {
	name    string
	reason  accesstoken.Reason
	arrange func(*scene) []string

	// logs are the places that the operator's log may show. Those of a genuine
	// token are aud and typ, which the warnings about them quote; the rest is what
	// the operator's own code says.
	logs []string

	onlyHTTP bool
}

// markedClaims have the canary wherever a claim can have one, but where a
// genuine token has to be right.
func markedClaims(change accesstokentest.Claims) accesstokentest.Claims {
	claims := accesstokentest.Claims{
		"sub": mark("sub"), "aud": []any{resource, mark("aud")}, "client_id": mark("client"), "jti": mark("jti"), "azp": mark("azp"),
		"scope": "read " + mark("scope"), "acr": mark("acr"), "amr": []string{mark("amr")}, "act": map[string]any{"sub": mark("actor")}, "email": mark("email"),
		mark("name"): map[string]any{mark("nested-name"): []any{mark("nested"), 1, map[string]any{mark("deep"): mark("deep")}}},
	}
	maps.Copy(claims, change)
	return claims
}

// markedHeader has it in every member that a header may have.
func markedHeader(change map[string]any) map[string]any {
	url := "https://" + mark("url") + ".example/keys"
	header := map[string]any{
		"typ": "at+jwt", "cty": mark("cty"), "jku": url, "x5u": url, "x5t": mark("x5t"), "x5c": []string{mark("x5c")},
		"jwk": map[string]any{"kty": "oct", "kid": mark("jwk"), "k": mark("k")}, mark("member"): mark("value"),
	}
	maps.Copy(header, change)
	return header
}

type object = map[string]any

// jwt returns a line with a genuine token that has the canary everywhere, but for
// the changes.
func (s *scene) jwt(header object, claims accesstokentest.Claims) []string {
	return []string{"Bearer " + s.as.Sign(markedHeader(header), s.as.Claims(markedClaims(claims)))}
}

// raw is jwt with a header that says what it likes about its signature.
func (s *scene) raw(alg string, header object) []string {
	written, err := json.Marshal(markedHeader(header))
	if err != nil {
		panic(err)
	}
	payload, err := json.Marshal(s.as.Claims(markedClaims(nil)))
	if err != nil {
		panic(err)
	}
	return []string{"Bearer " + s.as.SignRaw(alg, written, payload)}
}

// opaque returns a line with a token of which the endpoint says this.
func (s *scene) opaque(claims accesstokentest.Claims) []string {
	s.introspect()
	const opaque = canary + "-opaque.token_of-somebody"
	s.as.Remember(opaque, markedClaims(claims))
	return []string{"Bearer " + opaque}
}

func (s *scene) introspect() {
	client, err := introspection.NewClient(introspection.Config{
		Endpoint: s.as.IntrospectionEndpoint(), ClientID: accesstokentest.ClientID, ClientSecret: accesstokentest.ClientSecret, HTTPClient: s.as.Client(),
	})
	if err != nil {
		panic(err)
	}
	s.config.Issuers[0].Introspection = client
}

// shout breaks an endpoint so that its answer has the canary in body and header,
// and whatever it was sent.
func (s *scene) shout(path string, status int, body string) {
	s.as.Handle(path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm() // a GET has none
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Debug", mark("upstream")+r.PostForm.Encode())
		w.Header().Set("Location", "https://"+mark("upstream")+".example/")
		w.Header().Set("WWW-Authenticate", `Bearer error_description="`+mark("upstream")+`"`)
		w.Header().Set(mark("upstream"), mark("upstream"))
		w.WriteHeader(status)
		_, _ = io.WriteString(w, strings.ReplaceAll(body, "SENT", r.PostForm.Encode()+mark("upstream")))
	}))
}

// A talkative source says what it was asked for.
type talkative struct{ answer func(kid, alg string) error }

func (s talkative) Keys(_ context.Context, kid, alg string) ([]crypto.PublicKey, uint64, error) {
	return nil, 0, s.answer(kid, alg)
}

// A shouting transport panics with the request.
type shouting struct{}

func (shouting) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	panic(fmt.Sprint(r.Header, string(body)))
}

var ways = []way{
	{"no credentials", accesstoken.CredentialsMissing, func(*scene) []string { return nil }, nil, false},
	{"another scheme", accesstoken.SchemeUnsupported, func(*scene) []string { return []string{mark("scheme") + " " + mark("credentials")} }, nil, false},
	{"Basic", accesstoken.SchemeUnsupported, func(*scene) []string {
		return []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(mark("user")+":"+mark("password")))}
	}, nil, false},
	{"two words", accesstoken.CredentialsMalformed, func(*scene) []string { return []string{"Bearer " + mark("a") + " " + mark("b")} }, nil, false},
	{"quotes", accesstoken.CredentialsMalformed, func(*scene) []string { return []string{`Bearer "` + mark("a") + `"`} }, nil, false},
	{"no scheme", accesstoken.CredentialsMalformed, func(*scene) []string { return []string{"{" + mark("a") + "}"} }, nil, false},
	{"two lines", accesstoken.CredentialsAmbiguous, func(s *scene) []string { return slices.Repeat(s.jwt(nil, nil), 2) }, nil, false},
	{"too large", accesstoken.TokenTooLarge, func(*scene) []string { return []string{"Bearer " + strings.Repeat(mark("large"), 1200)} }, nil, false},
	{"opaque, and nobody to ask", accesstoken.TokenMalformed, func(*scene) []string { return []string{"Bearer " + mark("opaque")} }, nil, false},
	{"opaque with dots", accesstoken.TokenMalformed, func(*scene) []string { return []string{"Bearer " + mark("a") + "." + mark("b") + "." + mark("c")} }, nil, false},
	{"a header that is no JSON", accesstoken.TokenMalformed, func(s *scene) []string {
		return []string{"Bearer " + s.as.SignRaw("RS256", []byte(`{"alg":"RS256","`+mark("cut")), []byte(`{}`))}
	}, nil, false},
	{"a payload that says a thing twice", accesstoken.TokenMalformed, func(s *scene) []string {
		return []string{"Bearer " + s.as.SignRaw("RS256", []byte(`{"alg":"RS256"}`), []byte(`{"`+mark("twice")+`":1,"`+mark("twice")+`":"`+mark("value")+`"}`))}
	}, nil, false},
	{"an unknown algorithm", accesstoken.AlgorithmNotAllowed, func(s *scene) []string { return s.raw("RS256", object{"alg": mark("alg")}) }, nil, false},
	{"none", accesstoken.AlgorithmNotAllowed, func(s *scene) []string { return s.raw("none", object{"alg": "none"}) }, nil, false},
	{"an algorithm of another key", accesstoken.AlgorithmNotAllowed, func(s *scene) []string {
		return s.raw("ES384", object{"alg": "ES384", "kid": s.as.KeyID("RS256")})
	}, nil, false},
	{"another kind of token", accesstoken.TokenTypeMismatch, func(s *scene) []string { return s.jwt(object{"typ": mark("typ")}, nil) }, []string{"typ"}, false},
	{"a critical extension", accesstoken.TokenTypeMismatch, func(s *scene) []string {
		return s.jwt(object{"crit": []string{mark("critical")}, mark("critical"): 1}, nil)
	}, nil, false},
	{"an ID token", accesstoken.TokenTypeMismatch, func(s *scene) []string {
		s.config.Issuers[0].Relax.JTI = true
		return s.jwt(nil, accesstokentest.Claims{"nonce": mark("nonce")})
	}, nil, false},
	{"another issuer", accesstoken.IssuerUnknown, func(s *scene) []string {
		return s.jwt(nil, accesstokentest.Claims{"iss": "https://" + mark("iss") + ".example"})
	}, nil, false},
	{"a key that is not there", accesstoken.KeyNotFound, func(s *scene) []string { return s.jwt(object{"kid": mark("kid")}, nil) }, nil, false},
	{"tampered with", accesstoken.SignatureInvalid, func(s *scene) []string {
		line := s.jwt(nil, nil)[0]
		return []string{line[:len(line)-12] + "AAAAAAAAAAAA"}
	}, nil, false},
	{"a signature that is too short", accesstoken.SignatureInvalid, func(s *scene) []string {
		line := s.jwt(nil, nil)[0]
		return []string{line[:len(line)-2]}
	}, nil, false},
	{"expired", accesstoken.TokenExpired, func(s *scene) []string { return s.jwt(nil, accesstokentest.Claims{"exp": 1}) }, nil, false},
	{"nbf to come", accesstoken.TokenNotYetValid, func(s *scene) []string { return s.jwt(nil, accesstokentest.Claims{"nbf": time.Now().Unix() + 3600}) }, nil, false},
	{"for somebody else", accesstoken.AudienceMismatch, func(s *scene) []string { return s.jwt(nil, accesstokentest.Claims{"aud": []string{mark("aud"), "x"}}) }, []string{"aud"}, false},
	{"a claim of a wrong type", accesstoken.ClaimInvalid, func(s *scene) []string { return s.jwt(nil, accesstokentest.Claims{"sub": []string{mark("sub")}}) }, nil, false},
	{"a scope in a list", accesstoken.ClaimInvalid, func(s *scene) []string { return s.jwt(nil, accesstokentest.Claims{"scope": []string{mark("scope")}}) }, nil, false},
	{"without jti", accesstoken.ClaimInvalid, func(s *scene) []string { return s.jwt(nil, accesstokentest.Claims{"jti": nil}) }, nil, false},
	{"another client", accesstoken.ClaimInvalid, func(s *scene) []string {
		s.config.Issuers[0].Clients = []string{"printer"}
		return s.jwt(nil, nil)
	}, nil, false},
	{"bound to a key", accesstoken.BindingRequired, func(s *scene) []string { return s.jwt(nil, accesstokentest.Claims{"cnf": object{"jkt": mark("jkt")}}) }, nil, false},
	{"bound to who knows what", accesstoken.BindingRequired, func(s *scene) []string {
		return s.jwt(nil, accesstokentest.Claims{"cnf": object{mark("cnf"): mark("cnf")}})
	}, nil, false},
	{"bound to a certificate", accesstoken.BindingMismatch, func(s *scene) []string {
		return s.jwt(nil, accesstokentest.Claims{"cnf": object{"x5t#S256": mark("x5t")}})
	}, nil, false},
	{"without the scope", accesstoken.ScopeInsufficient, func(s *scene) []string {
		s.policy.Scopes = scopes.All("write")
		return s.jwt(nil, nil)
	}, nil, false},
	{"denied by the handler", "ACCOUNT_CLOSED", func(s *scene) []string {
		s.deny = accesstoken.Deny("ACCOUNT_CLOSED", errors.New(mark("own")))
		return s.jwt(nil, nil)
	}, []string{"own"}, true},
	{"a reason that nobody knows", accesstoken.Reason(mark("own")), func(s *scene) []string {
		s.deny = &accesstoken.Error{Reason: accesstoken.Reason(mark("own"))}
		return s.jwt(nil, nil)
	}, []string{"own"}, true},

	{"the key server is out of order", accesstoken.KeysUnavailable, func(s *scene) []string {
		s.shout(accesstokentest.JWKSPath, 500, `SENT`)
		return s.jwt(nil, nil)
	}, nil, false},
	{"the key server sends elsewhere", accesstoken.KeysUnavailable, func(s *scene) []string {
		s.shout(accesstokentest.JWKSPath, 302, `SENT`)
		return s.jwt(nil, nil)
	}, nil, false},
	{"the key server talks", accesstoken.KeysUnavailable, func(s *scene) []string {
		s.shout(accesstokentest.JWKSPath, 200, `<html>SENT`)
		return s.jwt(nil, nil)
	}, nil, false},
	{"keys that are none", accesstoken.KeysUnavailable, func(s *scene) []string {
		s.shout(accesstokentest.JWKSPath, 200, `{"keys":[{"kty":"SENT","kid":"SENT"},{"kty":"RSA","kid":"SENT","n":"SENT","e":"SENT","d":"SENT","SENT":1}],"SENT":"SENT"}`)
		return s.jwt(nil, nil)
	}, nil, false},
	{"the metadata is out of order", accesstoken.IssuerUnavailable, func(s *scene) []string {
		s.shout(accesstokentest.OAuthMetadataPath, 500, `SENT`)
		s.shout(accesstokentest.OpenIDMetadataPath, 200, `{"issuer":"`+s.as.URL+`","jwks_uri":{"SENT":"SENT"}}`)
		return s.jwt(nil, nil)
	}, nil, false},
	{"the metadata names another issuer", accesstoken.ResourceServerMisconfigured, func(s *scene) []string {
		s.shout(accesstokentest.OAuthMetadataPath, 200, `{"issuer":"https://SENT.example","jwks_uri":"https://SENT.example/jwks"}`)
		s.shout(accesstokentest.OpenIDMetadataPath, 404, `SENT`)
		return s.jwt(nil, nil)
	}, []string{"upstream"}, false}, // its issuer, quoted, is what the operator has to look at
	{"closed", accesstoken.KeysUnavailable, func(s *scene) []string {
		s.closed = true
		return s.jwt(nil, nil)
	}, nil, false},
	{"gone away", "", func(s *scene) []string {
		ctx, cancel := context.WithCancelCause(s.ctx)
		cancel(errors.New(mark("own")))
		s.ctx = ctx
		return s.jwt(nil, nil)
	}, nil, true},

	{"introspected: not active", accesstoken.TokenInactive, func(s *scene) []string { return s.opaque(accesstokentest.Claims{"active": false}) }, nil, false},
	{"introspected: expired", accesstoken.TokenExpired, func(s *scene) []string { return s.opaque(accesstokentest.Claims{"exp": 1}) }, nil, false},
	{"introspected: nbf to come", accesstoken.TokenNotYetValid, func(s *scene) []string { return s.opaque(accesstokentest.Claims{"nbf": time.Now().Unix() + 3600}) }, nil, false},
	{"introspected: for somebody else", accesstoken.AudienceMismatch, func(s *scene) []string { return s.opaque(accesstokentest.Claims{"aud": mark("aud")}) }, []string{"aud"}, false},
	{"introspected: another client", accesstoken.ClaimInvalid, func(s *scene) []string {
		s.config.Issuers[0].Clients = []string{"printer"}
		return s.opaque(nil)
	}, nil, false},
	{"introspected: another kind of token", accesstoken.TokenTypeMismatch, func(s *scene) []string { return s.opaque(accesstokentest.Claims{"token_type": mark("token-type")}) }, nil, false},
	{"introspected: another issuer", accesstoken.IssuerUnknown, func(s *scene) []string { return s.opaque(accesstokentest.Claims{"iss": mark("iss")}) }, nil, false},
	{"introspected: bound", accesstoken.BindingRequired, func(s *scene) []string { return s.opaque(accesstokentest.Claims{"cnf": object{"jkt": mark("jkt")}}) }, nil, false},
	{"introspected: bound to a certificate", accesstoken.BindingMismatch, func(s *scene) []string {
		return s.opaque(accesstokentest.Claims{"cnf": object{"x5t#S256": mark("x5t")}})
	}, nil, false},
	{"introspected: without the scope", accesstoken.ScopeInsufficient, func(s *scene) []string {
		s.policy.Scopes = scopes.All("write")
		return s.opaque(nil)
	}, nil, false},
	{"introspected: a claim of a wrong type", accesstoken.IntrospectionUnavailable, func(s *scene) []string { return s.opaque(accesstokentest.Claims{"sub": []string{mark("sub")}}) }, nil, false},
	{"the endpoint is out of order", accesstoken.IntrospectionUnavailable, func(s *scene) []string {
		s.shout(accesstokentest.IntrospectionPath, 500, `{"error":"SENT"}`)
		return s.opaque(nil)
	}, nil, false},
	{"the endpoint sends elsewhere", accesstoken.IntrospectionUnavailable, func(s *scene) []string {
		s.shout(accesstokentest.IntrospectionPath, 307, `SENT`)
		return s.opaque(nil)
	}, nil, false},
	{"the endpoint talks", accesstoken.IntrospectionUnavailable, func(s *scene) []string {
		s.shout(accesstokentest.IntrospectionPath, 200, `{"active":"SENT"}`)
		return s.opaque(nil)
	}, nil, false},
	{"the endpoint refuses us", accesstoken.ResourceServerMisconfigured, func(s *scene) []string {
		s.shout(accesstokentest.IntrospectionPath, 401, `{"error":"invalid_client","error_description":"SENT"}`)
		return s.opaque(nil)
	}, nil, false},
	{"the endpoint does not know the kind", accesstoken.TokenTypeMismatch, func(s *scene) []string {
		s.shout(accesstokentest.IntrospectionPath, 400, `{"error":"unsupported_token_type","error_description":"SENT"}`)
		return s.opaque(nil)
	}, nil, false},
	{"the transport panics with a token", accesstoken.IntrospectionUnavailable, func(s *scene) []string {
		lines := s.opaque(nil)
		client, err := introspection.NewClient(introspection.Config{Endpoint: "https://a.example", ClientID: "a", ClientSecret: mark("secret"), HTTPClient: &http.Client{Transport: shouting{}}})
		if err != nil {
			panic(err)
		}
		s.config.Issuers[0].Introspection = client
		return lines
	}, nil, false},
	{"both are asked, and disagree", accesstoken.ClaimInvalid, func(s *scene) []string {
		s.introspect()
		s.config.Issuers[0].AlwaysIntrospect = true
		s.shout(accesstokentest.IntrospectionPath, 200, `{"active":true,"sub":"SENT"}`)
		return s.jwt(nil, nil)
	}, nil, false},

	{"the key source says what it was asked", accesstoken.KeysUnavailable, func(s *scene) []string {
		s.config.Issuers[0].Keys = talkative{func(kid, alg string) error { return fmt.Errorf("no key %s", kid) }}
		return s.jwt(object{"kid": mark("own")}, nil)
	}, []string{"own"}, false},
	{"the key source panics with what it was asked", accesstoken.InternalError, func(s *scene) []string {
		s.config.Issuers[0].Keys = talkative{func(kid, alg string) error { panic(kid) }}
		return s.jwt(object{"kid": mark("own")}, nil)
	}, []string{"own"}, false},
	{"the key source panics with credentials", accesstoken.InternalError, func(s *scene) []string {
		lines := s.jwt(nil, nil)
		s.config.Issuers[0].Keys = talkative{func(string, string) error {
			panic(accesstoken.CredentialsFrom(http.Header{"Authorization": lines}))
		}}
		return lines
	}, nil, false},
	{"the hook panics with the error", accesstoken.TokenExpired, func(s *scene) []string {
		hook := s.config.OnRefuse
		s.config.OnRefuse = func(ctx context.Context, refused *accesstoken.Error) {
			hook(ctx, refused)
			panic(refused)
		}
		return s.jwt(nil, accesstokentest.Claims{"exp": 1})
	}, nil, false},
	{"the hook panics with credentials", accesstoken.SignatureInvalid, func(s *scene) []string {
		line := s.jwt(nil, nil)[0]
		lines, hook := []string{line[:len(line)-12] + "AAAAAAAAAAAA"}, s.config.OnRefuse
		s.config.OnRefuse = func(ctx context.Context, refused *accesstoken.Error) {
			hook(ctx, refused)
			panic(accesstoken.CredentialsFrom(http.Header{"Authorization": lines}))
		}
		return lines
	}, nil, false},
}

// unreachable are the reasons that no request meets.
var unreachable = map[accesstoken.Reason]string{
	accesstoken.DPoPProofInvalid:                 "there is no DPoP yet",
	accesstoken.DPoPProofReplayed:                "there is no DPoP yet",
	accesstoken.DPoPNonceRequired:                "there is no DPoP yet",
	accesstoken.ReplayStoreUnavailable:           "there is no DPoP yet",
	accesstoken.StepUpRequired:                   "of a policy; its challenge has nothing of the token",
	accesstoken.AuthorizationDetailsInsufficient: "of a policy; its challenge has nothing of the token",
	accesstoken.TransportInsecure:                "nothing demands TLS yet",
	accesstoken.StatusUnavailable:                "there are no status lists yet",
	accesstoken.OriginRefused:                    "of integrations/mcpauth, whose tests walk it",
	accesstoken.PolicyDenied:                     "an application's own, with its own reason; and a gRPC method without a rule, which grpcauth walks",
	accesstoken.TokenInvalid:                     "the wire's word; no *Error has it",
	accesstoken.Unavailable:                      "a class; no *Error has it",
}

func TestEveryReasonIsWalked(t *testing.T) {
	walked := map[accesstoken.Reason]bool{}
	for _, w := range ways {
		walked[w.reason] = true
	}
	for _, reason := range reasons(t) {
		if _, not := unreachable[reason]; not == walked[reason] {
			t.Errorf("%s: got walked %v, unreachable %v; want one of them", reason, walked[reason], not)
		}
	}
}

// reasons reads the constants out of their file: one that is added later has to
// be walked too.
func reasons(t *testing.T) (found []accesstoken.Reason) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(node ast.Node) bool {
		if spec, ok := node.(*ast.ValueSpec); ok && fmt.Sprint(spec.Type) == "Reason" {
			text := spec.Values[0].(*ast.BasicLit).Value
			found = append(found, accesstoken.Reason(strings.Trim(text, `"`)))
		}
		return true
	})
	if len(found) < 30 {
		t.Fatalf("got %d reasons in reason.go; want all", len(found))
	}
	return found
}

// Nothing of a request, of a token, or of what a server says about it gets out:
// not to the client, on any carrier; not into the log, at any level, but for what
// the operator has to know of a genuine token; and not into the error.
func TestNothingGetsOut(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) { w.walk(t, as) })
		for _, path := range []string{accesstokentest.JWKSPath, accesstokentest.OAuthMetadataPath, accesstokentest.OpenIDMetadataPath, accesstokentest.IntrospectionPath} {
			as.Handle(path, nil)
		}
	}
}

func (w way) walk(t *testing.T, as *accesstokentest.Server) {
	log, told, decided := new(diary), new(diary), new(diary)
	met := map[accesstoken.Reason]int{}
	s := &scene{as: as, ctx: t.Context(), policy: accesstoken.Policy{Scopes: scopes.None()}, config: accesstoken.Config{
		Resource: resource, Issuers: []accesstoken.Issuer{{URL: as.URL}}, HTTPClient: as.Client(), Logger: slog.New(log),
		OnRefuse: func(_ context.Context, refused *accesstoken.Error) {
			if met[refused.Reason]++; met[refused.Reason] > 1 {
				return // it would print the same
			}
			told.write(allForms(refused) + fmt.Sprintf("%+v %#v %v", refused.Public(), refused.Public(), refused.Header()))
			told.write(allForms(refused.Unwrap()))
		},
		OnDecide: func(_ context.Context, d accesstoken.Decision) {
			if d.Err != nil && met[d.Err.Reason] == 0 {
				decided.write(allForms(d))
			}
		},
	}}
	lines := w.arrange(s)
	v, err := accesstoken.NewValidator(s.config)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if s.closed {
		_ = v.Close()
	}
	secrets := append(lines, as.KeyID("RS256"), accesstokentest.ClientSecret)
	asked := 0
	for _, c := range canaryCarriers {
		if c.name == "gRPC" && w.onlyHTTP {
			continue
		}
		asked++
		answer := c.ask(t, s, v, lines)
		if found := leaks(answer, secrets, nil); found != nil {
			t.Errorf("%s: got the answer %q; want nothing of the canary in it", c.name, found)
		}
	}
	if met[w.reason] != asked || len(met) != 1 {
		t.Errorf("got %v; want %d refusals, all for %q", met, asked, w.reason)
	}
	if found := leaks(told.String(), secrets, w.logs); found != nil {
		t.Errorf("OnRefuse was told %q; want nothing of the canary in it", found)
	}
	if found := leaks(decided.String(), secrets, append(w.logs, "client")); found != nil {
		t.Errorf("OnDecide was told %q; want nothing of the canary in it but client_id", found)
	}
	if found := leaks(allForms(v.Stats()), secrets, nil); found != nil {
		t.Errorf("Stats say %q; want nothing of the canary in them", found)
	}
	if found := leaks(log.String(), secrets, w.logs); found != nil {
		t.Errorf("got the log %q; want nothing of the canary in it", found)
	}
}

// A canaryCarrier asks one question over one of the adapters, and returns all
// that the client can see of the answer.
type canaryCarrier struct {
	name string
	ask  func(t *testing.T, s *scene, v *accesstoken.Validator, lines []string) string
}

var canaryCarriers = []canaryCarrier{
	{"net/http", func(t *testing.T, s *scene, v *accesstoken.Validator, lines []string) string {
		auth := middleware.New(v, &middleware.Options{CORS: true})
		return record(t, s, lines, auth.RequirePolicy(s.policy).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { auth.Refuse(w, r, s.deny) })))
	}},
	{"net/http, as a problem", func(t *testing.T, s *scene, v *accesstoken.Validator, lines []string) string {
		auth := middleware.New(v, &middleware.Options{Body: middleware.Problem})
		return record(t, s, lines, auth.RequirePolicy(s.policy).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { auth.Refuse(w, r, s.deny) })))
	}},
	{"Echo", func(t *testing.T, s *scene, v *accesstoken.Validator, lines []string) string {
		return askEcho(t, s, v, lines)
	}},
	{"gRPC", func(t *testing.T, s *scene, v *accesstoken.Validator, lines []string) string {
		return askGRPC(t, s, v, lines)
	}},
}

func askEcho(t *testing.T, s *scene, v *accesstoken.Validator, lines []string) string {
	t.Helper()
	e, log := echo.New(), new(bytes.Buffer)
	e.Logger.SetOutput(log)
	e.GET("/", func(echo.Context) error { return s.deny }, echoauth.New(v, nil).RequirePolicy(s.policy).Wrap)
	return record(t, s, lines, e) + log.String()
}

// record returns everything of the answer to a request that has the canary in
// other places as well.
func record(t *testing.T, s *scene, lines []string, handler http.Handler) string {
	t.Helper()
	r := httptest.NewRequestWithContext(s.ctx, http.MethodGet, "/?access_token="+mark("query"), strings.NewReader(mark("body")))
	r.Header = http.Header{
		"Authorization": lines, "Cookie": {"access_token=" + mark("cookie")}, "X-Access-Token": {mark("field")},
		"Origin": {"https://" + mark("origin") + ".example"}, "Accept": {mark("accept")}, "Proxy-Authorization": {"Bearer " + mark("proxy")},
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	answer := w.Result()
	if answer.StatusCode < 400 {
		t.Errorf("got status %d; want a refusal", answer.StatusCode)
	}
	return fmt.Sprint(answer.Status, answer.Header, answer.Trailer, w.Body)
}

// A call is a grpc.ServerStream that nobody reads from.
type call struct {
	grpc.ServerStream
	ctx     context.Context
	trailer metadata.MD
}

func (c *call) Context() context.Context       { return c.ctx }
func (c *call) SetTrailer(trailer metadata.MD) { c.trailer = metadata.Join(c.trailer, trailer) }

// askGRPC puts the question to the interceptor of streams. Its own package walks
// the other one, over real connections.
func askGRPC(t *testing.T, s *scene, v *accesstoken.Validator, lines []string) string {
	t.Helper()
	auth, err := grpcauth.New(v, &grpcauth.Options{Methods: map[string]accesstoken.Policy{"/canary.Service/Call": s.policy}})
	if err != nil {
		t.Fatal(err)
	}
	stream := &call{ctx: metadata.NewIncomingContext(s.ctx, metadata.MD{"authorization": lines, "cookie": {mark("cookie")}})}
	err = auth.StreamInterceptor(nil, stream, &grpc.StreamServerInfo{FullMethod: "/canary.Service/Call"}, func(any, grpc.ServerStream) error { return nil })
	if status.Code(err) == codes.OK || status.Code(err) == codes.Unknown {
		t.Errorf("gRPC: got %v; want a refusal", err)
	}
	return fmt.Sprint(err, status.Convert(err).Proto(), status.Convert(err).Details(), stream.trailer)
}

// A good token leaves no trace either.
func TestNothingIsLoggedOfAGoodToken(t *testing.T) {
	as, log := accesstokentest.NewServer(t), new(diary)
	s := &scene{as: as, config: accesstoken.Config{Issuers: make([]accesstoken.Issuer, 1)}}
	line := s.jwt(nil, nil)
	opaque := s.opaque(nil)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Logger = slog.New(log)
		c.Issuers[0].Introspection = s.config.Issuers[0].Introspection
	})
	made := log.String()
	for _, lines := range [][]string{line, line, opaque, opaque} {
		claims, err := v.Validate(t.Context(), accesstoken.CredentialsFrom(http.Header{"Authorization": lines}))
		if err != nil {
			t.Fatal(err)
		}
		if found := leaks(allForms(claims)+allForms(&claims), append(lines, as.KeyID("RS256")), []string{"client"}); found != nil {
			t.Errorf("the claims, printed: got %q; want nothing but issuer and client_id", found)
		}
		if found := leaks(allForms(accesstoken.Decision{Claims: claims})+allForms(v.Stats()), append(lines, as.KeyID("RS256")), []string{"client"}); found != nil {
			t.Errorf("the decision and the statistics, printed: got %q; want nothing but issuer and client_id", found)
		}
		ctx := accesstoken.NewContext(t.Context(), claims)
		child, cancel := context.WithCancel(ctx)
		cancel()
		for _, value := range []any{ctx, child, []any{ctx}} {
			if found := leaks(fmt.Sprintf("%v %+v %#v %s %q %x %d", value, value, value, value, value, value, value), lines, nil); found != nil {
				t.Errorf("the context, printed: got %q; want nothing of the claims", found)
			}
		}
	}
	if log.String() != made {
		t.Errorf("got the log %s; want no more than the %q of the constructor", log, made)
	}
	if found := leaks(allForms(v), append(line, opaque...), nil); found != nil {
		t.Errorf("the validator, printed: got %q; want nothing of a token", found)
	}
}

// Whatever holds a token or a secret prints without it.
func TestNothingIsPrinted(t *testing.T) {
	secret := []byte(mark("secret"))
	config := introspection.Config{Endpoint: "https://a.example/introspect", ClientID: "api", ClientSecret: string(secret), StoreKey: secret}
	client, err := introspection.NewClient(introspection.Config{Endpoint: config.Endpoint, ClientID: "api", ClientSecret: config.ClientSecret})
	if err != nil {
		t.Fatal(err)
	}
	cache, err := jwks.NewCache(jwks.Config{URL: "https://a.example/jwks", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	root := accesstoken.Config{Resource: resource, Issuers: []accesstoken.Issuer{{URL: "https://a.example", Introspection: client, Keys: cache}}}
	v, err := accesstoken.NewValidator(root)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	credentials, malformed := accesstoken.Bearer(mark("token")), accesstoken.CredentialsFrom(http.Header{"Authorization": {mark("line")}})
	for name, value := range map[string]any{
		"Credentials": credentials, "*Credentials": &credentials, "malformed Credentials": malformed,
		"introspection.Config": config, "*introspection.Config": &config, "*introspection.Client": client, "*jwks.Cache": cache,
		"Config": root, "*Config": &root, "Issuer": root.Issuers[0], "*Validator": v, "Policy": accesstoken.Policy{Scopes: scopes.All("a")},
		"*Middleware": middleware.New(v, nil), "*echoauth.Middleware": echoauth.New(v, nil),
	} {
		if found := leaks(allForms(value), nil, nil); found != nil {
			t.Errorf("%s: got %q in what is printed; want nothing", name, found)
		}
	}
}
