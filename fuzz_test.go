package accesstoken_test

import (
	"context"
	"crypto"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
)

// noKeys is a key source that was asked, and has none.
type noKeys struct{}

func (noKeys) Keys(context.Context, string, string) ([]crypto.PublicKey, uint64, error) {
	return nil, 0, nil
}

var (
	anyScheme   = regexp.MustCompile("(?s)^[\t ]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)( .*)?[\t ]*$")          // RFC 9110 §11.4
	bearerToken = regexp.MustCompile(`^[\t ]*[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*)[\t ]*$`) // RFC 6750 §2.1, RFC 9110 §11.1
	bearerOnly  = regexp.MustCompile(`(?s)^[\t ]*[Bb][Ee][Aa][Rr][Ee][Rr]( .*)?[\t ]*$`)
)

// readLinesSlowly says by the grammars what a request's Authorization lines are
// refused for, or "" for a bearer token to look at.
func readLinesSlowly(lines []string) (refused accesstoken.Reason) {
	switch {
	case len(lines) == 0:
		return accesstoken.CredentialsMissing
	case len(lines) > 1:
		return accesstoken.CredentialsAmbiguous
	case !anyScheme.MatchString(lines[0]):
		return accesstoken.CredentialsMalformed
	case !bearerOnly.MatchString(lines[0]):
		return accesstoken.SchemeUnsupported
	}
	rest := strings.Trim(strings.Trim(lines[0], "\t ")[len("Bearer"):], " ")
	switch {
	case len(rest) > 16<<10:
		return accesstoken.TokenTooLarge
	case !bearerToken.MatchString(lines[0]):
		return accesstoken.CredentialsMalformed
	}
	return ""
}

// The lines of a request are refused for what the grammars say, and whatever is
// in them gets nobody in.
func FuzzCredentialsFrom(f *testing.F) {
	for _, line := range []string{
		"Bearer abc", "bEaReR   abc=", "\t Bearer abc \t", "Bearer", "Bearer\tabc", "", "Be(arer abc", "Bearer a b", "Bearer a, Bearer b", "Bearer \tabc", "Bearer =", "Bearer a=b",
		"Bearer é", "Bearer abc\x00", "Bearer abc\n", "Basic eA==", `Bearer "abc"`,
		"Bearer eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUuY29tIn0.", "Bearer eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUuY29tIn0." + strings.Repeat("A", 86),
		"Bearer eyJhbGciOiJFUzI1NiJ9.e30.AA", "DPoP abc", "DPoP", "DPoP ", "bearer", "Bear\u212Aer a",
	} {
		f.Add(line, "", byte(1))
	}
	f.Add("", "", byte(0))
	f.Add("Bearer a", "Bearer a", byte(2))
	f.Add("Bearer a", "", byte(2))
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: resource,
		Logger:   slog.New(slog.DiscardHandler),
		Issuers:  []accesstoken.Issuer{{URL: "https://login.example.com", Keys: noKeys{}}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = v.Close() })
	f.Fuzz(func(t *testing.T, first, second string, count byte) {
		lines := []string{first, second}[:count%3]
		credentials := accesstoken.CredentialsFrom(http.Header{"Authorization": lines})
		_, err := v.Validate(t.Context(), credentials)
		var refused *accesstoken.Error
		if !errors.As(err, &refused) {
			t.Fatalf("%q: got %v; want a refusal", lines, err)
		}
		want := readLinesSlowly(lines)
		if want != "" && refused.Reason != want {
			t.Errorf("%q: got %v; want %s", lines, err, want)
		}
		if want == "" && (strings.HasPrefix(string(refused.Reason), "CREDENTIALS_") || refused.HTTPStatus() != http.StatusUnauthorized) {
			t.Errorf("%q: got %v; want a 401 that is about the token", lines, err)
		}
		if credentials.Missing() != (want == accesstoken.CredentialsMissing) {
			t.Errorf("%q: Missing: got %v; want %v", lines, credentials.Missing(), want == accesstoken.CredentialsMissing)
		}
		wantOwnWords(t, refused, credentials)
	})
}

// wantOwnWords: our sentences are short and printable, whatever came.
func wantOwnWords(t *testing.T, refused *accesstoken.Error, credentials accesstoken.Credentials) {
	t.Helper()
	for _, told := range []string{refused.Error(), refused.Public().Text, credentials.String(), refused.Header().Get("WWW-Authenticate")} {
		if len(told) > 200 || strings.ContainsFunc(told, func(r rune) bool { return r < ' ' || r > '~' && r != '§' }) {
			t.Errorf("got %q; want our own words only", told)
		}
	}
}
