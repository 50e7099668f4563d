package accesstokentest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/accesstokentest"
)

// introspected sends a request about token to the introspection endpoint.
func introspected(t *testing.T, as *accesstokentest.Server, token string) (status int, body string) {
	t.Helper()
	form := url.Values{"token": {token}, "client_id": {accesstokentest.ClientID}, "client_secret": {accesstokentest.ClientSecret}}
	response, err := as.Client().PostForm(as.IntrospectionEndpoint(), form)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestBreakTokenIsMetByOneTokenAlone(t *testing.T) {
	as := accesstokentest.NewServer(t)
	good, odd := as.Opaque(nil), as.Opaque(nil)
	as.BreakToken(odd, accesstokentest.Fault{Status: 418, Header: http.Header{"Retry-After": {"9"}}, Body: []byte("odd")})
	for range 2 {
		if status, body := introspected(t, as, odd); status != 418 || body != "odd" {
			t.Errorf("odd: got %d %q; want the fault", status, body)
		}
		if status, body := introspected(t, as, good); status != 200 || !strings.Contains(body, `"active":true`) {
			t.Errorf("good: got %d %q; want the genuine answer", status, body)
		}
	}
	as.Break(accesstokentest.IntrospectionPath, accesstokentest.Fault{Status: 503})
	if status, _ := introspected(t, as, odd); status != 418 {
		t.Errorf("both broken: got %d; want the token's own fault", status)
	}
	if status, _ := introspected(t, as, good); status != 503 {
		t.Errorf("good, all broken: got %d; want 503", status)
	}
	as.Mend(accesstokentest.IntrospectionPath)
	as.MendToken(odd)
	if status, body := introspected(t, as, odd); status != 200 || !strings.Contains(body, `"active":true`) {
		t.Errorf("mended: got %d %q; want the genuine answer", status, body)
	}
}

func TestNullIsInTheAnswer(t *testing.T) {
	as := accesstokentest.NewServer(t)
	_, body := introspected(t, as, as.Opaque(accesstokentest.Claims{"client_id": accesstokentest.Null, "sub": nil}))
	var members map[string]any
	if err := json.Unmarshal([]byte(body), &members); err != nil {
		t.Fatal(err)
	}
	client, hasClient := members["client_id"]
	_, hasSubject := members["sub"]
	if got := fmt.Sprint(client, hasClient, hasSubject); got != "<nil> true false" {
		t.Errorf("got %s of %s; want a client_id that is null, and no sub", got, body)
	}
}
