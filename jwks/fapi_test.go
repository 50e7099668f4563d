package jwks_test

import (
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/jwks"
)

func TestFAPI2DemandsThatKeysComeOverTLS(t *testing.T) {
	for _, c := range []struct {
		name   string
		config jwks.Config
		fault  bool
	}{
		{"https", jwks.Config{URL: keysURL}, false},
		{"plain http on loopback", jwks.Config{URL: "http://127.0.0.1:1/jwks"}, false},
		{"plain http elsewhere", jwks.Config{URL: "http://keys.example/jwks", DangerouslyAllowHTTP: true}, true},
		{"plain http that the metadata may name", jwks.Config{Issuer: issuer, DangerouslyAllowHTTP: true}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			cache, err := jwks.NewCache(c.config)
			if err != nil {
				t.Fatal(err)
			}
			defer cache.Close()
			for name, err := range map[string]error{"a Cache": cache.FAPI2Err(), "a View": cache.For(issuer).FAPI2Err()} {
				if (err != nil) != c.fault || err != nil && !strings.HasPrefix(err.Error(), "DangerouslyAllowHTTP ") {
					t.Errorf("%s: got %v; want a fault of DangerouslyAllowHTTP: %t", name, err, c.fault)
				}
			}
		})
	}
	if err := jwks.Static().FAPI2Err(); err != nil {
		t.Errorf("a Set: got %v; want nil", err)
	}
	if err := jwks.FromKeyfunc(odd{}).FAPI2Err(); err != nil {
		t.Errorf("a KeyfuncSource: got %v; want nil", err)
	}
}
