package issuer

import (
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
)

func TestWhenTheUserHasToLogInAgain(t *testing.T) {
	now, most := time.Now(), uint(300)
	for name, test := range map[string]struct {
		request oidc.AuthRequest
		login   login
		want    bool
	}{
		"an old login":                       {oidc.AuthRequest{}, login{now.Add(-9 * time.Minute), ACRPassword}, true},
		"a login that is older than max_age": {oidc.AuthRequest{MaxAge: &most}, login{now.Add(-6 * time.Minute), ACRPassword}, false},
		"one that is not":                    {oidc.AuthRequest{MaxAge: &most}, login{now.Add(-4 * time.Minute), ACRPassword}, true},
		"a login without the code":           {oidc.AuthRequest{ACRValues: []string{ACRCode}}, login{now.Add(-time.Minute), ACRPassword}, false},
		"one with the code":                  {oidc.AuthRequest{ACRValues: []string{ACRCode}}, login{now.Add(-time.Minute), ACRCode}, true},
		"one of two":                         {oidc.AuthRequest{ACRValues: []string{"other", ACRCode}}, login{now.Add(-time.Minute), ACRCode}, true},
		"with the code, but too old":         {oidc.AuthRequest{ACRValues: []string{ACRCode}, MaxAge: &most}, login{now.Add(-6 * time.Minute), ACRCode}, false},
		"a login for this request":           {oidc.AuthRequest{ACRValues: []string{ACRCode}}, login{now.Add(time.Second), ACRPassword}, true},
	} {
		t.Run(name, func(t *testing.T) {
			a := authRequest{request: test.request, arrived: now}
			if got := a.isMetBy(test.login); got != test.want {
				t.Errorf("the login is enough: got %t; want %t", got, test.want)
			}
		})
	}
}

func TestTheCodeOfALogin(t *testing.T) {
	for name, test := range map[string]struct {
		known, code string
		ok          bool
		acr         string
	}{
		"no code":               {"314159", "", true, ACRPassword},
		"the code":              {"314159", "314159", true, ACRCode},
		"a wrong code":          {"314159", "271828", false, ""},
		"a user without a code": {"", "", true, ACRPassword},
		"one who enters a code": {"", "314159", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := newStorage(Config{User: User{Login: "alice", Password: "wonderland", Code: test.known}})
			if err != nil {
				t.Fatal(err)
			}
			session, ok := s.login("alice", "wonderland", test.code)
			if got, _ := s.loggedIn(session); ok != test.ok || got.acr != test.acr {
				t.Errorf("got %t, %q; want %t, %q", ok, got.acr, test.ok, test.acr)
			}
		})
	}
}
