package accesstoken_test

import (
	"encoding/base64"
	"log/slog"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
)

// A newcomer's first refusals come from a setting that is nearly right. Each is said
// once, in words of our own, whatever clients send; at Debug every refusal says why.
func TestEachMisconfigurationWarnsOnceInOurOwnWords(t *testing.T) {
	as, other := accesstokentest.NewServer(t), accesstokentest.NewServer(t)
	unsigned := func(alg string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"`+alg+`","typ":"at+jwt"}`)) + "." +
			base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"`+as.URL+`","sub":"`+canary+`"}`)) + "." + strings.Repeat("A", 43)
	}
	encrypted := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"dir","enc":"A256GCM","kid":"`+canary+`"}`)) + "..a.b.c"
	claims := func(changes accesstokentest.Claims) accesstokentest.Claims {
		changes["sub"] = canary
		return changes
	}
	for _, test := range []struct {
		name   string
		change func(*accesstoken.Config)
		token  string
		reason accesstoken.Reason
		want   string // the warning's own words; "" wants none
	}{
		{"a slash at the end of iss", nil, as.Token(claims(accesstokentest.Claims{"iss": as.URL + "/"})), accesstoken.IssuerUnknown, "iss ends in a slash, and URL does not"},
		{"a slash at the end of URL", func(c *accesstoken.Config) {
			c.Issuers[0] = accesstoken.Issuer{URL: as.URL + "/", JWKSURI: as.JWKSURI()}
		}, as.Token(claims(accesstokentest.Claims{})), accesstoken.IssuerUnknown, "URL ends in a slash, and iss does not"},
		{"the case of iss", nil, as.Token(claims(accesstokentest.Claims{"iss": strings.ToUpper(as.URL)})), accesstoken.IssuerUnknown, "upper and lower case"},
		{"the scheme of iss", nil, as.Token(claims(accesstokentest.Claims{"iss": "http" + strings.TrimPrefix(as.URL, "https")})), accesstoken.IssuerUnknown, "differ in their scheme"},
		{"an iss of a stranger", nil, as.Token(claims(accesstokentest.Claims{"iss": "https://" + canary})), accesstoken.IssuerUnknown, ""},
		{"an alg that the issuer may not use", func(c *accesstoken.Config) {
			c.Issuers[0].Algorithms = []string{"ES256"}
		}, as.Token(claims(accesstokentest.Claims{})), accesstoken.AlgorithmNotAllowed, "a token has the alg RS256, which is on no issuer's list"},
		{"an alg that another issuer may use", func(c *accesstoken.Config) {
			c.Issuers[0].Algorithms = []string{"ES256"}
			c.Issuers = append(c.Issuers, accesstoken.Issuer{URL: other.URL})
		}, as.Token(claims(accesstokentest.Claims{})), accesstoken.AlgorithmNotAllowed, "a token has the alg RS256, which is not on this issuer's list"},
		{"a shared secret", nil, unsigned("HS256"), accesstoken.AlgorithmNotAllowed, "signed with a shared secret"},
		{"an alg that does not exist", nil, unsigned(canary), accesstoken.AlgorithmNotAllowed, ""},
		{"the keys of another realm", func(c *accesstoken.Config) {
			c.Issuers[0].JWKSURI, c.HTTPClient = other.JWKSURI(), other.Client()
		}, as.Token(claims(accesstokentest.Claims{})), accesstoken.KeyNotFound, "no token that names this issuer was ever signed with a key at JWKSURI"},
		{"an opaque token, and nobody to ask", nil, canary, accesstoken.TokenMalformed, "not a signed JWT, and no issuer has Introspection"},
		{"an encrypted token, and nobody to ask", nil, encrypted, accesstoken.TokenMalformed, "not a signed JWT, and no issuer has Introspection"},
		{"an opaque token of no prefix", func(c *accesstoken.Config) {
			c.Issuers[0].Introspection, c.Issuers[0].TokenPrefix = newIntrospection(t, as), "at_"
		}, canary, accesstoken.TokenMalformed, "does not begin with the TokenPrefix of any issuer"},
		{"a token that is too large", nil, as.Token(claims(accesstokentest.Claims{"pad": strings.Repeat("x", 16<<10)})), accesstoken.TokenTooLarge, "a token has more than 16384 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var log lockedBuffer
			v := newValidator(t, as, func(c *accesstoken.Config) {
				c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
				if test.change != nil {
					test.change(c)
				}
			})
			for range 3 {
				_, err := v.Validate(t.Context(), accesstoken.Bearer(test.token))
				wantReason(t, err, test.reason)
			}
			warned, refused := 0, 0
			for line := range strings.Lines(log.String()) {
				switch {
				case strings.Contains(line, "level=WARN"):
					warned++
					if test.want == "" || !strings.Contains(line, test.want) || !strings.Contains(line, "advice=") {
						t.Errorf("got the warning %s; want one with %q and advice", line, test.want)
					}
					if row := "see=docs/refusals.md#" + strings.ToLower(string(test.reason)) + "\n"; !strings.HasSuffix(line, row) {
						t.Errorf("got the warning %s; want it to end in %s", line, row)
					}
				case strings.Contains(line, "level=DEBUG"):
					refused++
					if !strings.Contains(line, "reason="+string(test.reason)) || !strings.Contains(line, "why=") {
						t.Errorf("at Debug: got %s; want the reason and why", line)
					}
				}
			}
			if want := map[bool]int{true: 1}[test.want != ""]; warned != want || refused != 3 {
				t.Errorf("got %d warnings and %d lines at Debug; want %d and 3:\n%s", warned, refused, want, log.String())
			}
			if strings.Contains(log.String(), canary) || strings.Contains(log.String(), strings.ToUpper(as.URL)) {
				t.Errorf("got text of the token in the log:\n%s", log.String())
			}
		})
	}
}

// Once a token of the issuer was good, its keys are its own.
func TestAnUnknownKeyWarnsOnlyWhileNoTokenWasGood(t *testing.T) {
	as := accesstokentest.NewServer(t)
	var log lockedBuffer
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		c.Issuers[0].JWKSURI = as.JWKSURI()
	})
	good(t, v, as.Token(nil))
	_, err := v.Validate(t.Context(), accesstoken.Bearer(as.Sign(map[string]any{"typ": "at+jwt", "kid": "unknown"}, as.Claims(nil))))
	wantReason(t, err, accesstoken.KeyNotFound)
	if strings.Contains(log.String(), "level=WARN") {
		t.Errorf("got %s; want no warning", log.String())
	}
}
