package introspection_test

import (
	"net/http"
	"testing"

	"github.com/accesstoken/accesstoken/introspection"
)

type otherTransport struct{ http.RoundTripper }

func TestWarningsNameATransportWhoseConnectionsAreNotLookedAfter(t *testing.T) {
	for name, c := range map[string]struct {
		client *http.Client
		want   int
	}{
		"our own":        {nil, 0},
		"a transport":    {&http.Client{Transport: new(http.Transport)}, 0},
		"a RoundTripper": {&http.Client{Transport: otherTransport{http.DefaultTransport}}, 1},
	} {
		client, err := introspection.NewClient(introspection.Config{
			Endpoint: "https://login.example.com/introspect", ClientID: "api", ClientSecret: "secret", HTTPClient: c.client,
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := client.Warnings(); len(got) != c.want {
			t.Errorf("%s: got %q; want %d", name, got, c.want)
		}
	}
}
