//go:build interop

package interop_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A record has the shapes of a server's JWTs, without anything that is secret or
// changes. The tests of package accesstoken check the profile with it, without a server.
type record struct {
	Software string     `json:"software"`
	Profile  string     `json:"profile"`
	Tokens   []recorded `json:"tokens"`
}

// A recorded token has types in the place of values, and the values themselves
// of what the protocol says about kinds: "string", but "=at+jwt".
type recorded struct {
	Kind    string         `json:"kind"`
	Outcome string         `json:"outcome"` // OK, or why it is refused without introspection
	Header  map[string]any `json:"header"`
	Claims  map[string]any `json:"claims"`
}

// compareRecord fails if the shapes of a server's tokens have changed. With -update it
// writes the record.
func (s *server) compareRecord(t *testing.T, name, software string) {
	file := filepath.Join("..", "testdata", "issuers", name+".json")
	var got bytes.Buffer
	encoder := json.NewEncoder(&got)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s.record(t, software)); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%s is another; run: go test -C interop -tags interop -run TestIssuers -update .\n%s", file, got.String())
	}
}

// record records each kind of token that the server issues.
func (s *server) record(t *testing.T, software string) record {
	profile, _, _ := strings.Cut(s.profile.String(), " ")
	r := record{Software: software, Profile: profile}
	user := s.logIn(t, "app-jwt")
	for _, token := range []struct{ kind, token string }{
		{"access token, client credentials", s.issue(t, "jwt", resource, "read write")},
		{"access token, authorization code", user.Access},
		{"access token, refresh token grant", s.refresh(t, "app-jwt", user.Refresh).Access},
		{"ID token", user.ID},
		{"refresh token", user.Refresh},
	} {
		header, claims, ok := readJWT(token.token)
		if !ok {
			continue
		}
		got, _ := serve(t, s.jwts()).call(t, "/", token.token)
		outcome := "OK"
		if got.status != http.StatusOK {
			outcome = string(got.reason)
		}
		r.Tokens = append(r.Tokens, recorded{
			Kind:    token.kind,
			Outcome: outcome,
			Header:  skeleton(header, "alg", "typ", "cty"),
			Claims:  skeleton(claims, "typ", "token_use", "token_type", "ver"),
		})
	}
	return r
}

// readJWT reads a token that is not encrypted.
func readJWT(token string) (header, claims map[string]any, ok bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, nil, false
	}
	for i, object := range []*map[string]any{&header, &claims} {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(text, object) != nil {
			return nil, nil, false
		}
	}
	return header, claims, true
}

// skeleton replaces the values of an object by their types, except for some members.
func skeleton(object map[string]any, kept ...string) map[string]any {
	types := map[string]any{}
	for name, value := range object {
		if text, ok := value.(string); ok && slices.Contains(kept, name) {
			types[name] = "=" + text
		} else {
			types[name] = typeOf(value)
		}
	}
	return types
}

// typeOf returns the JSON type of a value. For an array it has the types of the elements.
func typeOf(value any) any {
	switch v := value.(type) {
	case string:
		return "string"
	case float64:
		return "number"
	case bool:
		return "boolean"
	case []any:
		types := []any{}
		for _, element := range v {
			if kind := typeOf(element); !slices.ContainsFunc(types, func(known any) bool { return same(known, kind) }) {
				types = append(types, kind)
			}
		}
		return types
	case map[string]any:
		return skeleton(v)
	}
	return "null"
}

// same compares what can be written as JSON.
func same(a, b any) bool {
	first, _ := json.Marshal(a)
	second, _ := json.Marshal(b)
	return bytes.Equal(first, second)
}

// kid is the key that a token names.
func kid(t *testing.T, token string) any {
	t.Helper()
	header, _, ok := readJWT(token)
	if !ok {
		t.Fatal("this is no JWT")
	}
	return header["kid"]
}
