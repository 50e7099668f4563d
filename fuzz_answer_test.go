package accesstoken_test

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/introspection"
)

// A reply is what the endpoint says to whatever it is asked.
type reply struct {
	status      int
	contentType string
	body        []byte
}

func (r reply) RoundTrip(request *http.Request) (*http.Response, error) {
	header := http.Header{"Content-Type": {r.contentType}}
	return &http.Response{StatusCode: r.status, Header: header, Body: io.NopCloser(bytes.NewReader(r.body)), Request: request}, nil
}

// An answer counts as active only if encoding/json finds true in "active" of a
// JSON answer with status 200; its fields say what encoding/json reads; and no
// error tells the token, the secret or anything of the answer.
func FuzzIntrospectionAnswer(f *testing.F) {
	const (
		plain  = "application/json"
		active = `{"active":true,"scope":"a b","client_id":"c","token_type":"Bearer","exp":1700000000.5,"iat":1,"nbf":2e3,"sub":"alice","aud":["x","y"],"iss":"https://a.example","jti":"1"}`
	)
	for _, body := range []string{
		active, `{"active":false}`, `{"active":false,"sub":"alice"}`, `{"active":"true"}`, `{"active":1}`, `{"active":null}`, `{}`, `[]`, ``, `<html>`,
		`{"active":true,"active":false}`, `{"Active":true}`, `{"act\u0069ve":true}`, `{"active":true,"sub":1}`, `{"active":true,"aud":"x"}`, `{"active":true,"aud":["x",1]}`,
		`{"active":true,"scope":["a"]}`, `{"active":true,"token_type":"refresh_token"}`, `{"active":true,"token_use":"refresh"}`, `{"active":true,"exp":"1"}`, `{"active":true}x`,
		`{"active": true }`, `{"active":true,"token_type":"dPoP","cnf":{"jkt":"x"}}`, `{"active":true,"secret":"canary-answer"}`,
	} {
		f.Add(200, plain, []byte(body))
	}
	f.Add(200, "text/html", []byte(active))
	f.Add(200, "application/token-introspection+jwt", []byte(active))
	f.Add(200, "APPLICATION/x+json; charset=utf-8", []byte(active))
	f.Add(200, "", []byte(active))
	f.Add(201, plain, []byte(active))
	f.Add(401, plain, []byte(`{"error":"invalid_client canary-answer"}`))
	f.Add(400, plain, []byte(`{"error":"unsupported_token_type"}`))
	f.Add(503, "text/plain", []byte("canary-answer"))
	f.Fuzz(func(t *testing.T, status int, contentType string, body []byte) {
		r := reply{100 + (status%900+900)%900, contentType, body}
		client, err := introspection.NewClient(introspection.Config{
			Endpoint: "https://login.example.com/introspect", ClientID: "api", ClientSecret: "canary-secret", HTTPClient: &http.Client{Transport: r},
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := client.Introspect(t.Context(), "canary-token")
		said := r.object()
		switch {
		case err != nil:
			wantNothingTold(t, got, err)
		case r.status != http.StatusOK || !r.isJSON():
			t.Errorf("%d %q %q: got %+v; want an error", r.status, contentType, body, got)
		case said["active"] == false:
			wantNothing(t, got)
		case said["active"] == true:
			wantSaid(t, got, said, body)
		default:
			t.Errorf("%q: got %+v; want an error", body, got)
		}
	})
}

func (r reply) isJSON() bool {
	mediaType, _, _ := mime.ParseMediaType(r.contentType)
	return mediaType == "application/json" || strings.HasSuffix(mediaType, "+json")
}

// object reads the body as one object, or not at all.
func (r reply) object() (members map[string]any) {
	if !json.Valid(r.body) {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(r.body))
	decoder.UseNumber()          // 1e999 is a number too
	_ = decoder.Decode(&members) // what is no object has no members
	return members
}

func wantNothing(t *testing.T, got introspection.Response) {
	t.Helper()
	if !reflect.DeepEqual(got, introspection.Response{}) {
		t.Errorf("got %+v; want nothing but that it is not active", got)
	}
}

func wantNothingTold(t *testing.T, got introspection.Response, err error) {
	t.Helper()
	wantNothing(t, got)
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("got the error %q; want it without the canary", err)
	}
}

func wantSaid(t *testing.T, got introspection.Response, said map[string]any, body []byte) {
	t.Helper()
	texts := map[string]string{"client_id": got.ClientID, "token_type": got.TokenType, "sub": got.Subject, "iss": got.Issuer, "jti": got.ID}
	for name, text := range texts {
		if want, _ := said[name].(string); text != want {
			t.Errorf("%q: got %s %q; want %v", body, name, text, said[name])
		}
	}
	scope, _ := said["scope"].(string)
	if words := slices.Collect(got.Scope.All()); !slices.Equal(words, slices.DeleteFunc(strings.Split(scope, " "), func(s string) bool { return s == "" })) {
		t.Errorf("%q: got the scopes %q; want those of %q", body, words, scope)
	}
	for name, date := range map[string]time.Time{"exp": got.Expiry, "iat": got.IssuedAt, "nbf": got.NotBefore} {
		if _, isNumber := said[name].(json.Number); isNumber == date.IsZero() {
			t.Errorf("%q: got %s %v; want what stands there, %v", body, name, date, said[name])
		}
	}
	wantAudience(t, got.Audience, said["aud"])
	if !got.Active || !bytes.Equal(got.Raw, body) {
		t.Errorf("%q: got active %v, raw %q; want true and what came", body, got.Active, got.Raw)
	}
}

func wantAudience(t *testing.T, got []string, said any) {
	t.Helper()
	var want []string
	switch said := said.(type) {
	case string:
		want = []string{said}
	case []any:
		for _, element := range said {
			text, _ := element.(string)
			want = append(want, text)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got aud %q; want %q", got, want)
	}
}
