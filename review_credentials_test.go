package accesstoken_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
)

// Over HTTP/2, the second of two equal requests has the texts of the first one's header:
// they come from the connection's table (RFC 7541 §2.3.2).
func TestReviewAnEqualRequestThatComesLaterIsNotTheSame(t *testing.T) {
	as := accesstokentest.NewHTTP2Server(t)
	var came []accesstoken.Credentials
	as.Handle("/page", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		came = append(came, accesstoken.CredentialsOf(r))
	}))
	for range 3 {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, as.URL+"/page", nil)
		r.Header.Set("Authorization", "DPoP token")
		r.Header.Set("DPoP", "header.payload.signature")
		response, err := as.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
	if came[0].Equal(came[1]) || came[1].Equal(came[2]) {
		t.Error("got equal credentials; want those of a request that comes later told apart")
	}
}
