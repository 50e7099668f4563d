package discovery_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/internal/discovery"
	"github.com/accesstoken/accesstoken/internal/fetch"
)

// A web answers every request with the same document.
type web []byte

func (w web) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(w)), Request: r}, nil
}

// readDocument reads a document that comes over https, from the one place that
// the source names.
func readDocument(s discovery.Source, document []byte) (discovery.Metadata, error) {
	s.MetadataURL = s.Issuer + "/metadata"
	return discovery.Read(context.Background(), fetch.New(&http.Client{Transport: web(document)}), s)
}

// What a URL has at least to look like, in another notation than the code's: no
// user information, no fragment, and for SameOrigin the issuer's own authority.
var (
	secureURL = regexp.MustCompile(`(?is)^https://[^/?#@]+([/?][^#]*)?$`)
	ownURL    = regexp.MustCompile(`(?is)^https://a\.example(:(443)?)?([/?]|$)`)
)

func wantUsableURL(t *testing.T, url string, sameOrigin bool) {
	t.Helper()
	if url != "" && (!secureURL.MatchString(url) || len(url) > 2048 || sameOrigin && !ownURL.MatchString(url)) {
		t.Errorf("got the URL %q, same origin %v; want none such", url, sameOrigin)
	}
}

// wantSaid fails the test unless the document, read by encoding/json, says what
// was read in it.
func wantSaid(t *testing.T, document []byte, got discovery.Metadata) {
	t.Helper()
	said := membersOf(t, document)
	for name, text := range map[string]string{"issuer": got.Issuer, "jwks_uri": got.JWKSURI, "introspection_endpoint": got.IntrospectionEndpoint} {
		if text != "" && said[name] != text {
			t.Errorf("%q: got %s %q; want %v", document, name, text, said[name])
		}
	}
	if said["jwks_uri"] != nil && said["jwks_uri"] != got.JWKSURI {
		t.Errorf("%q: got jwks_uri %q; want %v, or a refusal", document, got.JWKSURI, said["jwks_uri"])
	}
}

// Of a document only what its issuer may say is used, as it stands there; what
// was used is read again from a document that says nothing else.
func FuzzRead(f *testing.F) {
	for _, document := range []string{
		strings.ReplaceAll(good, "ISSUER", "https://a.example"), `{"issuer":"https://a.example"}`, `{"issuer":"https://a.example/"}`, `{"issuer":"https://a.example","jwks_uri":1}`,
		`{"issuer":"https://a.example","issuer":"https://a.example"}`, `{"issuer":"https://a.example","jwks_uri":"http://127.0.0.1/jwks"}`,
		`{"issuer":"https://a.example","jwks_uri":"https://a.example:443/jwks"}`, `{"issuer":"https://a.example","jwks_uri":"https://u:p@a.example/jwks"}`,
		`{"issuer":"https://a.example","jwks_uri":"HTTPS://A.EXAMPLE"}`, `{"issuer":"https://a.example","jwks_uri":"https://a.example#x"}`, `[]`, `<html>`, ``, `{"Issuer":"https://a.example"}`,
		`{"issuer":"https://a.example","jwks_uri":null,"introspection_endpoint":"https://b.example/i"}`, `{"issu\u0065r":"https://a.example","jwks_uri":"https://a.example@b.example/"}`,
	} {
		f.Add([]byte(document), false)
		f.Add([]byte(document), true)
	}
	f.Fuzz(func(t *testing.T, document []byte, sameOrigin bool) {
		source := discovery.Source{Issuer: "https://a.example", SameOrigin: sameOrigin}
		got, err := readDocument(source, document)
		if err != nil {
			if errors.Is(err, discovery.ErrMismatch) == errors.Is(err, discovery.ErrUnavailable) || got != (discovery.Metadata{}) {
				t.Errorf("%q: got %+v, %v; want nothing, and one kind of error", document, got, err)
			}
			return
		}
		if got.Issuer != "https://a.example" {
			t.Errorf("%q: got the issuer %q; want the configured one", document, got.Issuer)
		}
		wantUsableURL(t, got.JWKSURI, sameOrigin)
		wantUsableURL(t, got.IntrospectionEndpoint, sameOrigin)
		wantSaid(t, document, got)
		text, err := json.Marshal(map[string]any{"issuer": got.Issuer, "jwks_uri": got.JWKSURI, "introspection_endpoint": got.IntrospectionEndpoint})
		if err != nil {
			t.Fatal(err)
		}
		if again, err := readDocument(source, text); err != nil || again != got {
			t.Errorf("%q: written and read again: got %+v, %v; want %+v", document, again, err, got)
		}
	})
}

// Where signed metadata is demanded, what is used is what somebody signed who
// may, for everybody and about this issuer; whatever stands around it.
func FuzzSigned(f *testing.F) {
	f.Add(header, "{"+iss+","+uri+"}", `https://evil.example/jwks`)
	f.Add(`{"alg":"Ed25519","typ":"JWT"}`, "{"+iss+","+uri+`,"exp":1900000000.5,"nbf":1}`, "")
	f.Add(`{"alg":"EdDSA","typ":"at+jwt"}`, "{"+iss+","+uri+"}", "")
	f.Add(`{"alg":"none"}`, "{"+iss+","+uri+"}", "")
	f.Add(header, "{"+iss+","+uri+`,"aud":"https://api.example.com"}`, "")
	f.Add(header, "{"+iss+","+uri+`,"issuer":"https://b.example"}`, "")
	f.Add(header, "{"+iss+","+uri+`,"exp":1}`, "")
	f.Add(header, "{"+iss+`,"signed_metadata":"e30.e30."}`, "")
	s := signerFrom(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	f.Fuzz(func(t *testing.T, header, claims, plain string) {
		value, err := json.Marshal(s.sign(header, claims))
		if err != nil {
			t.Fatal(err)
		}
		around, err := json.Marshal(plain)
		if err != nil {
			t.Fatal(err)
		}
		document := []byte(`{"issuer":"https://a.example","jwks_uri":` + string(around) + `,"introspection_endpoint":` + string(around) + `,"signed_metadata":` + string(value) + `}`)
		got, err := readDocument(s.source(), document)
		if err != nil {
			return
		}
		said := membersOf(t, []byte(claims))
		if said["iss"] != "https://a.example" || said["aud"] != nil {
			t.Fatalf("%q: got %+v; want a refusal", claims, got)
		}
		if said["issuer"] == nil {
			got.Issuer = "" // then iss is what names it
		}
		wantSaid(t, []byte(claims), got)
		wantUsableURL(t, got.JWKSURI, false)
		wantUsableURL(t, got.IntrospectionEndpoint, false)
		if exp := dateOf(said["exp"], math.Inf(1)); exp+31 < float64(noon.Unix()) {
			t.Errorf("%q: got %+v; want it to have expired", claims, got)
		}
		if nbf := dateOf(said["nbf"], 0); nbf-31 > float64(noon.Unix()) {
			t.Errorf("%q: got %+v; want it not to be valid yet", claims, got)
		}
		if alg := membersOf(t, []byte(header))["alg"]; alg != "EdDSA" && alg != "Ed25519" {
			t.Errorf("%q: got %+v; want a refusal", header, got)
		}
	})
}

// dateOf returns a number of seconds, or what holds without one.
func dateOf(value any, absent float64) float64 {
	number, ok := value.(json.Number)
	if !ok {
		return absent
	}
	seconds, _ := number.Float64()
	return seconds
}

// membersOf reads an object that was accepted by encoding/json.
func membersOf(t *testing.T, object []byte) (members map[string]any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(object))
	decoder.UseNumber() // 1e999 is a number too
	if err := decoder.Decode(&members); err != nil {
		t.Fatalf("%q was accepted; encoding/json says %v", object, err)
	}
	return members
}

func signerFrom(private ed25519.PrivateKey) signer {
	return signer{private.Public().(ed25519.PublicKey), private}
}
