package resourcemetadata_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/resourcemetadata"
)

// serve serves a document at the path of an API at /mcp, and returns the server.
func serve(t *testing.T, answer func(w http.ResponseWriter, resource string)) *httptest.Server {
	t.Helper()
	var s *httptest.Server
	s = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/.well-known/oauth-protected-resource/mcp" && r.URL.Path != "/elsewhere" {
			http.NotFound(w, r)
			return
		}
		answer(w, s.URL+"/mcp")
	}))
	t.Cleanup(s.Close)
	return s
}

func saying(format string) func(http.ResponseWriter, string) {
	return func(w http.ResponseWriter, resource string) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, strings.ReplaceAll(format, "${resource}", resource))
	}
}

func TestGet(t *testing.T) {
	s := serve(t, saying(`{"resource":"${resource}","authorization_servers":["https://login.example.com"],"resource_name":"MCP","resource_documentation":"https://docs.example.com",
		"scopes_supported":["a","b"],"bearer_methods_supported":[],"dpop_signing_alg_values_supported":["ES256"],"dpop_bound_access_tokens_required":true,
		"tls_client_certificate_bound_access_tokens":true,"authorization_details_types_supported":["payment"],"unknown":{"a":1},"jwks_uri":null,"RESOURCE":"https://evil.example"}`))
	want := &resourcemetadata.Document{
		Resource: s.URL + "/mcp", AuthorizationServers: []string{"https://login.example.com"}, Name: "MCP", Documentation: "https://docs.example.com",
		Scopes: []string{"a", "b"}, BearerMethods: []string{}, DPoPAlgorithms: []string{"ES256"}, DPoPRequired: true, ClientCertificates: true, DetailTypes: []string{"payment"},
	}
	client := resourcemetadata.Client{HTTPClient: s.Client()}
	for name, place := range map[string]string{"derived": "", "from a challenge": s.URL + "/elsewhere"} {
		got, err := client.Get(t.Context(), s.URL+"/mcp", place)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v; want %+v", name, got, err, want)
		}
	}
}

// A Validator with many issuers publishes up to 64 KiB of them, whatever their number.
func TestGetReadsALongList(t *testing.T) {
	s := serve(t, saying(`{"resource":"${resource}","authorization_servers":["https://a.io"`+strings.Repeat(`,"https://a.io"`, 4000)+`]}`))
	client := resourcemetadata.Client{HTTPClient: s.Client()}
	if got, err := client.Get(t.Context(), s.URL+"/mcp", ""); err != nil || len(got.AuthorizationServers) != 4001 {
		t.Errorf("got %v; want 4001 servers", err)
	}
}

// META-18: each mismatch aborts.
func TestGetRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		answer          func(http.ResponseWriter, string)
		resource, place string // "" for resource is that of the server
		want            string
	}{
		"another resource":       {answer: saying(`{"resource":"https://evil.example/mcp"}`), want: `its resource is "https://evil.example/mcp"`},
		"the origin alone":       {answer: saying(`{"resource":"https://127.0.0.1"}`), want: "RFC 9728 §3.3"},
		"no resource":            {answer: saying(`{}`), want: `its resource is ""`},
		"resource twice":         {answer: saying(`{"resource":"https://evil.example","resource":"${resource}"}`), want: "unique member names"},
		"not JSON":               {answer: saying(`<html>`), want: "resourcemetadata: https://127.0.0.1"},
		"another type":           {answer: saying(`{"resource":"${resource}","scopes_supported":"a"}`), want: "scopes_supported has another type"},
		"a server without https": {answer: saying(`{"resource":"${resource}","authorization_servers":["http://login.example.com"]}`), want: "authorization_servers has a text that is not an https URL"},
		"too large":              {answer: saying(`{"resource":"${resource}","x":"` + strings.Repeat("x", 64<<10) + `"}`), want: "too large"},
		"a redirect": {answer: func(w http.ResponseWriter, _ string) {
			w.Header().Set("Location", "https://evil.example")
			w.WriteHeader(302)
		}, want: "302"},
		"an error":           {answer: func(w http.ResponseWriter, _ string) { w.WriteHeader(500) }, want: "500"},
		"another origin":     {answer: saying(`{"resource":"${resource}"}`), place: "https://evil.example/metadata", want: "has another origin"},
		"the cloud's own":    {answer: saying(`{"resource":"${resource}"}`), place: "https://169.254.169.254/latest", want: "has another origin"},
		"another port":       {answer: saying(`{"resource":"${resource}"}`), place: "https://127.0.0.1:1/x", want: "has another origin"},
		"no https":           {answer: saying(`{"resource":"${resource}"}`), place: "http://evil.example/metadata", want: "is not https"},
		"a relative address": {answer: saying(`{"resource":"${resource}"}`), place: "/metadata", want: "not an absolute https URL"},
		"a bad resource":     {answer: saying(`{"resource":"${resource}"}`), resource: "http://h.example", want: "is not https"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, test.answer)
			if test.resource == "" {
				test.resource = s.URL + "/mcp"
			}
			client := resourcemetadata.Client{HTTPClient: s.Client()}
			got, err := client.Get(t.Context(), test.resource, test.place)
			if err == nil || got != nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %+v, %v; want an error with %q", got, err, test.want)
			}
		})
	}
}

func TestAnyOriginIsSaidAloud(t *testing.T) {
	api, other := "https://api.example.com/mcp", serve(t, saying(`{"resource":"https://api.example.com/mcp"}`))
	client := resourcemetadata.Client{HTTPClient: other.Client(), AnyOrigin: true}
	if got, err := client.Get(t.Context(), api, other.URL+"/elsewhere"); err != nil || got.Resource != api {
		t.Errorf("got %+v, %v; want the document", got, err)
	}
}

// Port 443 is the same whether it is written or not.
func TestAnOriginMayNameItsPort(t *testing.T) {
	client := resourcemetadata.Client{HTTPClient: &http.Client{Transport: nowhere{}}}
	for place, same := range map[string]bool{"https://h.example:443/x": true, "https://h.example/x": true, "https://H.EXAMPLE/x": true, "https://h.example:8443/x": false, "https://i.example/x": false} {
		if _, err := client.Get(t.Context(), "https://h.example/mcp", place); err == nil || strings.Contains(err.Error(), "another origin") == same {
			t.Errorf("%s: got %v; want the same origin %v", place, err, same)
		}
	}
}

type nowhere struct{}

func (nowhere) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("nowhere") }

func TestPublicAddressesOnly(t *testing.T) {
	s := serve(t, saying(`{"resource":"${resource}"}`))
	client := resourcemetadata.Client{PublicAddressesOnly: true}
	if _, err := client.Get(t.Context(), s.URL+"/mcp", ""); err == nil || !strings.Contains(err.Error(), "not a public address") {
		t.Errorf("got %v; want it not to connect to loopback", err)
	}
	client.HTTPClient = s.Client()
	if _, err := client.Get(t.Context(), s.URL+"/mcp", ""); err == nil || !strings.Contains(err.Error(), "exclude each other") {
		t.Errorf("with an HTTPClient: got %v; want a fault", err)
	}
}

func TestFromChallenge(t *testing.T) {
	for want, lines := range map[string][]string{
		"":            {`Bearer realm="a"`, `Basic`},
		"https://a/b": {`Bearer realm="a", resource_metadata="https://a/b"`},
		"https://c":   {`Basic realm="resource_metadata=\"https://evil\""`, `DPoP algs="ES256", resource_metadata="https://c"`},
	} {
		if got := resourcemetadata.FromChallenge(http.Header{"Www-Authenticate": lines}); got != want {
			t.Errorf("%q: got %q; want %q", lines, got, want)
		}
	}
}

func TestCheckServer(t *testing.T) {
	d := &resourcemetadata.Document{Resource: "https://api.example.com/mcp"}
	for metadata, want := range map[string]string{
		`{"issuer":"https://login.example.com"}`: "", `{}`: "", `{"protected_resources":null}`: "",
		`{"protected_resources":["https://a","https://api.example.com/mcp"]}`: "",
		`{"protected_resources":[]}`:                                          "does not list the resource",
		`{"protected_resources":["https://api.example.com"]}`:                 "does not list the resource",
		`{"protected_resources":"https://api.example.com/mcp"}`:               "cannot be read",
		`x`: "cannot be read",
	} {
		err := d.CheckServer([]byte(metadata))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v; want %q", metadata, err, want)
		}
	}
}

// A signer is an issuer with one key, also as a KeySource.
type signer struct{ key *ecdsa.PrivateKey }

func newSigner(t *testing.T) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{key}
}

func (s signer) Keys(_ context.Context, kid, alg string) ([]crypto.PublicKey, uint64, error) {
	if kid == "down" {
		return nil, 0, errors.New("down")
	}
	return []crypto.PublicKey{s.key.Public()}, 1, nil
}

// sign makes a JWS; header and claims are added to the good ones, and nil removes one.
func (s signer) sign(t *testing.T, header, claims map[string]any) string {
	t.Helper()
	all := [2]map[string]any{{"alg": "ES256", "kid": "1"}, {"iss": "https://signer.example", "iat": 1000, "exp": 2000}}
	parts := make([]string, 2)
	for n, more := range []map[string]any{header, claims} {
		for name, value := range more {
			all[n][name] = value
			if value == nil {
				delete(all[n], name)
			}
		}
		text, err := json.Marshal(all[n])
		if err != nil {
			t.Fatal(err)
		}
		parts[n] = base64.RawURLEncoding.EncodeToString(text)
	}
	input := strings.Join(parts, ".")
	signature, err := jose.Sign(s.key, "ES256", input)
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// META-14, META-18.
func TestSignedMetadata(t *testing.T) {
	us, thief := newSigner(t), newSigner(t)
	for name, test := range map[string]struct {
		by             signer
		header, claims map[string]any
		text           string // in place of a JWS
		at             int64
		want           string // of the error
		name           string // resource_name, if it is accepted
	}{
		"good":                       {by: us, name: "signed"},
		"typ JWT":                    {by: us, header: map[string]any{"typ": "JWT"}, name: "signed"},
		"within the leeway":          {by: us, at: 2029, name: "signed"},
		"another key":                {by: thief, want: "no trusted key verifies the signature"},
		"an issuer that is no judge": {by: thief, claims: map[string]any{"iss": "https://other.example"}, name: "plain"},
		"no iss":                     {by: us, claims: map[string]any{"iss": nil}, name: "plain"},
		"expired":                    {by: us, at: 2030, want: "it has expired"},
		"not yet":                    {by: us, at: 900, want: "not valid yet"},
		"nbf":                        {by: us, claims: map[string]any{"nbf": 1600}, want: "not valid yet"},
		"an access token":            {by: us, header: map[string]any{"typ": "at+jwt"}, want: "typ"},
		"a token with aud":           {by: us, claims: map[string]any{"aud": "x"}, want: "no aud"},
		"HMAC":                       {by: us, header: map[string]any{"alg": "HS256"}, want: "digital signature algorithm"},
		"another algorithm":          {by: us, header: map[string]any{"alg": "RS256"}, want: "no trusted key"},
		"another resource":           {by: us, claims: map[string]any{"resource": "https://evil.example"}, want: `its resource is "https://evil.example"`},
		"no resource":                {by: us, claims: map[string]any{"resource": nil}, want: `its resource is ""`},
		"nested":                     {by: us, claims: map[string]any{"signed_metadata": "x"}, want: "no signed_metadata among its claims"},
		"a member of another type":   {by: us, claims: map[string]any{"resource_name": 1}, want: "resource_name has another type"},
		"exp is a text":              {by: us, claims: map[string]any{"exp": "2000"}, want: "exp has the wrong type (RFC 7519 §4.1)"},
		"junk":                       {text: "junk", want: "signed_metadata"},
		"keys cannot be had":         {by: us, header: map[string]any{"kid": "down"}, want: "down"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, resource string) {
				claims := map[string]any{"resource": resource, "resource_name": "signed"}
				for name, value := range test.claims {
					claims[name] = value
				}
				if test.text == "" {
					test.text = test.by.sign(t, test.header, claims)
				}
				saying(`{"resource":"${resource}","resource_name":"plain","scopes_supported":["a"],"signed_metadata":"`+test.text+`"}`)(w, resource)
			})
			if test.at == 0 {
				test.at = 1500
			}
			client := resourcemetadata.Client{
				HTTPClient: s.Client(), Signers: map[string]resourcemetadata.KeySource{"https://signer.example": us},
				Now: func() time.Time { return time.Unix(test.at, 0) },
			}
			got, err := client.Get(t.Context(), s.URL+"/mcp", "")
			switch {
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %+v, %v; want an error with %q", got, err, test.want)
			case test.want == "" && (err != nil || got.Name != test.name || (got.SignedBy == "https://signer.example") != (test.name == "signed")):
				t.Errorf("got %+v, %v; want the name %q", got, err, test.name)
			case test.name == "signed" && got.Scopes != nil:
				t.Errorf("got the unsigned scopes %q", got.Scopes)
			}
		})
	}
	s := serve(t, saying(`{"resource":"${resource}","signed_metadata":"junk"}`))
	client := resourcemetadata.Client{HTTPClient: s.Client()}
	if _, err := client.Get(t.Context(), s.URL+"/mcp", ""); err != nil {
		t.Errorf("without Signers: got %v; want signed_metadata to be ignored (RFC 9728 §2.2)", err)
	}
}
