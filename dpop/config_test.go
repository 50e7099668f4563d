package dpop_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/dpop"
)

func TestFaultsOfAConfig(t *testing.T) {
	good := []string{here}
	var none *dpop.Memory
	for _, c := range []struct {
		name   string
		config dpop.Config
		want   string // "" if it is right
	}{
		{"nothing but URLs", dpop.Config{URLs: good}, ""},
		{"everything", dpop.Config{
			URLs: []string{here + "/v1/", "http://127.0.0.1:8080", "http://[::1]"}, Algorithms: []string{"ES256"}, MaxAge: 10 * time.Minute, Leeway: time.Minute,
			Store: dpop.NewMemory(10), NonceKey: make([]byte, 32), NonceLifetime: time.Hour, Now: time.Now,
		}, ""},
		{"no leeway", dpop.Config{URLs: good, Leeway: -1}, ""},
		{"no URL", dpop.Config{}, "URLs is empty"},
		{"an empty URL", dpop.Config{URLs: []string{""}}, "URLs: the URL is empty"},
		{"a host alone", dpop.Config{URLs: []string{"api.example.com"}}, "not an absolute https URL"},
		{"http", dpop.Config{URLs: []string{"http://api.example.com"}}, "not https"},
		{"a query", dpop.Config{URLs: []string{here + "?a"}}, "query"},
		{"an empty query", dpop.Config{URLs: []string{here + "/?"}}, "query"},
		{"a fragment", dpop.Config{URLs: []string{here + "#a"}}, "fragment"},
		{"user information", dpop.Config{URLs: []string{"https://a:secret@api.example.com"}}, "user information"},
		{"a host in another script", dpop.Config{URLs: []string{"https://bücher.example"}}, "in ASCII"},
		{"a path in another script", dpop.Config{URLs: []string{here + "/ü"}}, "in ASCII"},
		{"a port that is none", dpop.Config{URLs: []string{here + ":080"}}, "absolute https"},
		{"no algorithms", dpop.Config{URLs: good, Algorithms: []string{}}, "Algorithms is set but empty"},
		{"HMAC", dpop.Config{URLs: good, Algorithms: []string{"ES256", "HS256"}}, `"HS256" is not supported`},
		{"alg none", dpop.Config{URLs: good, Algorithms: []string{"none"}}, `"none" is not supported`},
		{"an old MaxAge", dpop.Config{URLs: good, MaxAge: 10*time.Minute + 1}, "MaxAge"},
		{"a negative MaxAge", dpop.Config{URLs: good, MaxAge: -1}, "MaxAge"},
		{"a wide Leeway", dpop.Config{URLs: good, Leeway: time.Minute + 1}, "Leeway"},
		{"a short key", dpop.Config{URLs: good, NonceKey: make([]byte, 31)}, "NonceKey has 31 bytes"},
		{"an empty key", dpop.Config{URLs: good, NonceKey: []byte{}}, "NonceKey has 0 bytes"},
		{"a lifetime without a key", dpop.Config{URLs: good, NonceLifetime: time.Minute}, "set NonceKey as well"},
		{"a short lifetime", dpop.Config{URLs: good, NonceKey: make([]byte, 32), NonceLifetime: 10*time.Second - 1}, "NonceLifetime is 9.999999999s"},
		{"a long lifetime", dpop.Config{URLs: good, NonceKey: make([]byte, 32), NonceLifetime: time.Hour + 1}, "NonceLifetime"},
		{"a negative lifetime", dpop.Config{URLs: good, NonceKey: make([]byte, 32), NonceLifetime: -1}, "NonceLifetime"},
		{"a nil *Memory", dpop.Config{URLs: good, Store: none}, "nil pointer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := dpop.NewVerifier(c.config)
			switch {
			case c.want == "" && (err != nil || v == nil):
				t.Errorf("got %v; want a Verifier", err)
			case c.want != "" && (err == nil || v != nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v; want it to say %q", err, c.want)
			case err != nil && strings.Contains(err.Error(), "secret"):
				t.Errorf("got %v; want no secret in it", err)
			}
		})
	}
	_, err := dpop.NewVerifier(dpop.Config{URLs: []string{"x", "y"}, MaxAge: -1, Leeway: time.Hour, Algorithms: []string{"none"}, NonceKey: []byte{1}, NonceLifetime: 1})
	if got := strings.Count(fmt.Sprint(err), "dpop: "); got != 7 {
		t.Errorf("got %d faults: %v; want all 7 at once", got, err)
	}
}

func TestAlgorithmsAreACopy(t *testing.T) {
	given := []string{"ES256", "PS256"}
	v := verifier(t, dpop.Config{Algorithms: given})
	given[0] = "RS256"
	v.Algorithms()[1] = "RS256"
	if got := v.Algorithms(); !slices.Equal(got, []string{"ES256", "PS256"}) {
		t.Errorf("got %v; want what was given", got)
	}
	want := []string{"ES256", "ES384", "ES512", "EdDSA", "Ed25519", "PS256", "PS384", "PS512", "RS256"}
	if got := verifier(t, dpop.Config{}).Algorithms(); !slices.Equal(got, want) {
		t.Errorf("got %v; want %v", got, want)
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	secret := []byte("canary7f3a canary7f3a canary7f3a")
	config := dpop.Config{URLs: []string{here}, NonceKey: secret}
	v := verifier(t, config)
	v.Nonce()
	key := p256()
	signer := must(dpop.NewSigner(key))
	private := key.D.String() //lint:ignore SA1019 how it would be printed
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("", "config", config)
	for _, value := range []any{config, &config, *v, v, *signer, signer, log.String()} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			got := fmt.Sprintf(verb, value)
			for _, leak := range []string{"canary7f3a", "63616e617279", "99 97 110 97 114 121", "0x63, 0x61, 0x6e", private} {
				if strings.Contains(got, leak) {
					t.Errorf("%s of %T: got %s; want no secret in it", verb, value, got)
				}
			}
		}
	}
}

// What the caller does with its lists once the Verifier is made changes nothing.
func TestTheConfigurationIsCopied(t *testing.T) {
	config := dpop.Config{URLs: []string{here}, Algorithms: []string{"ES256"}}
	v := verifier(t, config)
	config.URLs[0], config.Algorithms[0] = "https://elsewhere.example", "RS256"
	if got := v.Algorithms(); !slices.Equal(got, []string{"ES256"}) {
		t.Errorf("got the algorithms %q; want ES256", got)
	}
	check(t, v, request(good(nil)), "accepted")
}
