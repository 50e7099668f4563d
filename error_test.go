package accesstoken_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
)

func TestCredentialsFrom(t *testing.T) {
	v := newStaticValidator(t)
	for _, test := range []struct {
		name    string
		lines   []string
		want    accesstoken.Reason
		missing bool
	}{
		{"none", nil, accesstoken.CredentialsMissing, true},
		{"two lines", []string{"Bearer a", "Bearer a"}, accesstoken.CredentialsAmbiguous, false},
		{"two schemes", []string{"Bearer a", "Basic a"}, accesstoken.CredentialsAmbiguous, false},
		{"another scheme", []string{"Basic eA=="}, accesstoken.SchemeUnsupported, false},
		{"an empty line", []string{""}, accesstoken.CredentialsMalformed, false},
		{"no token", []string{"Bearer"}, accesstoken.CredentialsMalformed, false},
		{"only spaces", []string{"Bearer   "}, accesstoken.CredentialsMalformed, false},
		{"a tab", []string{"Bearer\ta"}, accesstoken.CredentialsMalformed, false},
		{"two tokens", []string{"Bearer a b"}, accesstoken.CredentialsMalformed, false},
		{"two credentials in a line", []string{"Bearer a, Bearer b"}, accesstoken.CredentialsMalformed, false},
		{"not ASCII", []string{"Bearer é"}, accesstoken.CredentialsMalformed, false},
		{"any case, many spaces", []string{"bEaReR   a"}, accesstoken.TokenMalformed, false},
		{"too large", []string{"Bearer " + strings.Repeat("a", 16<<10+1)}, accesstoken.TokenTooLarge, false},
		{"as large as may be", []string{"Bearer " + strings.Repeat("a", 16<<10)}, accesstoken.TokenMalformed, false},
	} {
		credentials := accesstoken.CredentialsFrom(http.Header{"Authorization": test.lines})
		if got := credentials.Missing(); got != test.missing {
			t.Errorf("%s: Missing: got %v; want %v", test.name, got, test.missing)
		}
		_, err := v.Validate(t.Context(), credentials)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: got %v; want %s", test.name, err, test.want)
		}
	}
	if _, err := v.Validate(t.Context(), accesstoken.Credentials{}); !errors.Is(err, accesstoken.CredentialsMissing) {
		t.Errorf("zero Credentials: got %v; want CREDENTIALS_MISSING", err)
	}
	if _, err := v.Validate(t.Context(), accesstoken.Bearer("")); !errors.Is(err, accesstoken.CredentialsMalformed) {
		t.Errorf("an empty token: got %v; want CREDENTIALS_MALFORMED", err)
	}
}

func newStaticValidator(t *testing.T) *accesstoken.Validator {
	t.Helper()
	v, err := accesstoken.NewValidator(accesstoken.Config{Resource: resource, Issuers: []accesstoken.Issuer{{URL: "https://login.example.com"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

func TestDenyIsAlways403(t *testing.T) {
	v := newStaticValidator(t)
	cause := errors.New("closed in March")
	for reason, want := range map[accesstoken.Reason]accesstoken.Reason{
		"ACCOUNT_CLOSED":         "ACCOUNT_CLOSED",
		"POLICY_DENIED":          "POLICY_DENIED",
		accesstoken.TokenExpired: accesstoken.TokenExpired,
		"account closed":         accesstoken.PolicyDenied,
		"":                       accesstoken.PolicyDenied,
		"A_":                     accesstoken.PolicyDenied,
		"1AB":                    accesstoken.PolicyDenied,
		accesstoken.Reason(strings.Repeat("A", 64)): accesstoken.PolicyDenied,
	} {
		denied := v.Refuse(t.Context(), fmt.Errorf("handler: %w", accesstoken.Deny(reason, cause)))
		if denied.HTTPStatus() != 403 || denied.GRPCCode() != 7 || denied.Header().Get("WWW-Authenticate") != "" {
			t.Errorf("Deny(%q): got %d, %d, %v; want 403, 7 and no challenge", reason, denied.HTTPStatus(), denied.GRPCCode(), denied.Header())
		}
		if got := denied.Public(); got.Reason != want || strings.Contains(got.Text, "March") {
			t.Errorf("Deny(%q): got %+v in public; want the reason %q and no cause", reason, got, want)
		}
		if !errors.Is(denied, want) || !errors.Is(denied, cause) || errors.Is(denied, accesstoken.Unavailable) {
			t.Errorf("Deny(%q): errors.Is does not find the reason and the cause", reason)
		}
	}
}

func TestWhatNobodyKnowsIsOurMistake(t *testing.T) {
	v := newStaticValidator(t)
	for _, err := range []error{errors.New("canary"), &accesstoken.Error{}, &accesstoken.Error{Reason: "CANARY"}, nil} {
		refused := v.Refuse(t.Context(), err)
		if refused.HTTPStatus() != 500 || refused.GRPCCode() != 13 {
			t.Errorf("%v: got %d, %d; want 500, 13", err, refused.HTTPStatus(), refused.GRPCCode())
		}
		if public := refused.Public(); strings.Contains(strings.ToLower(fmt.Sprint(public, refused.Header())), "canary") {
			t.Errorf("%v: got %+v; want nothing of it in public", err, public)
		}
	}
}

func TestReasonsAreErrors(t *testing.T) {
	var err error = &accesstoken.Error{Reason: accesstoken.TokenExpired}
	if !errors.Is(err, accesstoken.TokenExpired) || errors.Is(err, accesstoken.TokenInactive) || errors.Is(err, accesstoken.Unavailable) {
		t.Error("errors.Is: want exactly the reason")
	}
	if errors.Is(err, accesstoken.Reason("")) || errors.Is(&accesstoken.Error{}, accesstoken.Reason("")) {
		t.Error("the empty Reason: want it to match nothing")
	}
	if got, want := err.Error(), "accesstoken: token expired"; got != want {
		t.Errorf("got %q; want %q", got, want)
	}
}

func TestTheHeaderIsAFreshCopy(t *testing.T) {
	_, err := newStaticValidator(t).Validate(t.Context(), accesstoken.Credentials{})
	var refused *accesstoken.Error
	if !errors.As(err, &refused) {
		t.Fatal(err)
	}
	refused.Header().Set("WWW-Authenticate", "poisoned")
	if got := refused.Header().Get("WWW-Authenticate"); got != `Bearer realm="https://api.example.com"` {
		t.Errorf("got %s; want the challenge undisturbed", got)
	}
}
