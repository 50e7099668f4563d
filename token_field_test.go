package accesstoken_test

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
)

func TestAFieldThatCannotHoldTheToken(t *testing.T) {
	for field, want := range map[string]string{
		"Authorization":        "leave TokenField empty",
		"authorization":        "leave TokenField empty",
		"Cookie":               "holds something else",
		"DPoP":                 "holds something else",
		"Host":                 "holds something else",
		"Proxy-Authorization":  "holds something else",
		"Client-Cert":          "holds something else",
		"X-Token-Bin":          "gRPC decodes as binary",
		"X Token":              "is not the name of a header field",
		"X-Token:":             "is not the name of a header field",
		"X-Token\r\nX-Other: ": "is not the name of a header field",
		"é":                    "is not the name of a header field",
	} {
		lines := faultsOf(accesstoken.Config{
			Resource: resource, TokenField: field, Issuers: []accesstoken.Issuer{{URL: "https://a.example"}},
			ForwardedCertificate: accesstoken.ForwardedCertificate{Format: accesstoken.ClientCertField, Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
		})
		if len(lines) != 1 || !strings.Contains(lines[0], want) {
			t.Errorf("%q: got %q; want one fault that says %q", field, lines, want)
		}
	}
	lines := faultsOf(accesstoken.Config{Resource: resource, TokenField: "X-Token", DPoP: verifierFor(t, "ES256"), Issuers: []accesstoken.Issuer{{URL: "https://a.example"}}})
	if len(lines) != 1 || !strings.Contains(lines[0], "TokenField and DPoP exclude each other") {
		t.Errorf("with DPoP: got %q; want one fault", lines)
	}
}

// A program that reads Authorization by itself, where the configuration names another
// field, is told so. A caller's mistake would look like a request without a token.
func TestCredentialsOfAuthorizationAreNotThoseOfAnotherField(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) { c.TokenField = "x-token" })
	token := as.Token(nil)
	for name, lines := range map[string][]string{"none": nil, "a token": {"Bearer " + token}, "two": {"a", "b"}, "another scheme": {"Basic YTpi"}} {
		header := http.Header{"X-Token": {token}}
		if lines != nil {
			header["Authorization"] = lines
		}
		r := &http.Request{Method: "GET", RequestURI: "/", Header: header}
		for _, credentials := range []accesstoken.Credentials{accesstoken.CredentialsFrom(header), accesstoken.CredentialsOf(r)} {
			_, err := v.Validate(t.Context(), credentials)
			wantReason(t, err, accesstoken.ResourceServerMisconfigured)
		}
		if _, err := v.Validate(t.Context(), v.CredentialsOf(r)); err != nil {
			t.Errorf("Authorization: %s: got %v; want the token of the field accepted", name, err)
		}
	}
	if _, err := v.Validate(t.Context(), accesstoken.Bearer(token)); err != nil {
		t.Errorf("a bare token: got %v; want nil", err)
	}
	if got := v.Fields(); !slices.Equal(got, []string{"X-Token"}) {
		t.Errorf("Fields: got %q; want X-Token", got)
	}
}

func TestCredentialsOfWithoutAFieldAreThoseOfAuthorization(t *testing.T) {
	r := &http.Request{Method: "GET", RequestURI: "/", Header: http.Header{"Authorization": {"Bearer abc"}}}
	for name, v := range map[string]*accesstoken.Validator{"zero": {}, "ordinary": newValidator(t, accesstokentest.NewServer(t), nil)} {
		if !v.CredentialsOf(r).Equal(accesstoken.CredentialsOf(r)) {
			t.Errorf("%s: got other credentials than those of Authorization", name)
		}
	}
}

// Each refusal of the credentials names the field.
func TestARefusalNamesTheFieldOfTheToken(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) { c.TokenField = "X-Token" })
	for want, lines := range map[string][]string{
		"the request has no field X-Token":                              nil,
		"expected a bare token, without a scheme, in the field X-Token": {"Bearer a"},
		"expected one field X-Token; the request has several":           {"a", "b"},
	} {
		_, err := v.Validate(t.Context(), v.CredentialsOf(&http.Request{Header: http.Header{"X-Token": lines}}))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v; want it to say %q", lines, err, want)
		}
	}
}
