//go:build interop

package interop_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// introspect calls the endpoint without the client under test, to see the server's real
// answer.
func (s *server) introspect(t *testing.T, token string, accept ...string) (answer []byte) {
	t.Helper()
	return s.post(t, s.introspection, "resource-server", url.Values{"token": {token}}, accept...)
}

// expectShape compares the members of a JSON object, and what JSON types they
// have.
func expectShape(t *testing.T, name string, object []byte, want string) {
	t.Helper()
	t.Logf("%s: %s", name, object)
	if got := shape(t, object); got != want {
		t.Errorf("%s:\ngot  %s\nwant %s", name, got, want)
	}
}

func shape(t *testing.T, object []byte) string {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal(object, &members); err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(members)) {
		words = append(words, name+":"+kind(members[name]))
	}
	return strings.Join(words, " ")
}

func kind(value any) string {
	switch v := value.(type) {
	case string:
		return "string"
	case float64:
		return "number"
	case []any:
		return fmt.Sprintf("array(%d)", len(v))
	case map[string]any:
		return "object"
	}
	return fmt.Sprint(value)
}

// expectJWT compares the shapes of a JWT's header and payload.
func expectJWT(t *testing.T, name, token, header, payload string) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%s: got %d parts; want the three of a JWT", name, len(parts))
	}
	for i, want := range []string{header, payload} {
		object, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		expectShape(t, name, object, want)
	}
}
