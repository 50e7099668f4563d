package accesstoken_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

// drafting makes a Validator in draft mode, with the types of detailTypes.
func drafting(t *testing.T, as *accesstokentest.Server, change func(*accesstoken.Config)) *accesstoken.Validator {
	t.Helper()
	return newValidator(t, as, func(c *accesstoken.Config) {
		c.DetailTypes, c.DraftRARMetadataRemediation = detailTypes(), true
		if change != nil {
			change(c)
		}
	})
}

// remediationOf reads authorization_remediation of a refusal. It returns nil if there is
// none.
func remediationOf(t *testing.T, err error) (content object) {
	t.Helper()
	var refused *accesstoken.Error
	if !errors.As(err, &refused) {
		t.Fatalf("got %v; want a refusal", err)
	}
	text := refused.Public().Params["authorization_remediation"]
	if inHeader := strings.Contains(fmt.Sprint(refused.Header()), `authorization_remediation="`+text+`"`); inHeader != (text != "") {
		t.Errorf("got %v; want authorization_remediation %q in quotes, as gRPC has it", refused.Header(), text)
	}
	if text == "" {
		return nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		t.Fatalf("got %q: %v; want base64url without padding", text, err)
	}
	if err := json.Unmarshal(raw, &content); err != nil {
		t.Fatal(err)
	}
	return content
}

// asJSON returns the value as it looks once it was read from JSON.
func asJSON(t *testing.T, value any) (read any) {
	t.Helper()
	if err := json.Unmarshal(testkit.Must(json.Marshal(value)), &read); err != nil {
		t.Fatal(err)
	}
	return read
}

// RAR-03, RAR-08, RAR-12: the response in draft mode, of a policy and of a handler.
func TestTheResponseToInsufficientDetailsByTheDraft(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := drafting(t, as, nil)
	auth := middleware.New(v, nil)
	wanted := accesstoken.DetailRequirement{Type: "payment", Actions: []string{"initiate"}, DataTypes: []string{"d"}, Privileges: []string{"p"}, Location: "https://a.example", Identifier: "i"}
	demanding := auth.RequirePolicy(accesstoken.Policy{Scopes: scopes.All("a"), Details: []accesstoken.DetailRequirement{wanted}}).
		RequirePolicy(accesstoken.Policy{Scopes: scopes.None(), Details: []accesstoken.DetailRequirement{{Type: "files"}}})
	objects := []object{
		{"type": "payment", "actions": []string{"initiate"}, "datatypes": []string{"d"}, "privileges": []string{"p"}, "locations": []string{"https://a.example"}, "identifier": "i"},
		{"type": "files"},
	}
	inHandler := auth.Require(scopes.All("a")).WrapFunc(func(w http.ResponseWriter, r *http.Request) {
		auth.Refuse(w, r, fmt.Errorf("checked: %w", accesstoken.DetailsInsufficient(objects[0], objects[1])))
	})
	var first http.Header
	for name, handler := range map[string]http.Handler{"policy": demanding.Wrap(http.NotFoundHandler()), "handler": inHandler} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+as.Token(accesstokentest.Claims{"scope": "a"}))
		handler.ServeHTTP(w, r)
		const want = `Bearer realm="https://api.example.com", error="insufficient_authorization", error_description="the access token lacks required authorization details", authorization_remediation="`
		got := w.Header().Get("WWW-Authenticate")
		if w.Code != 401 || !strings.HasPrefix(got, want) || w.Header().Get("Cache-Control") != "no-store" {
			t.Fatalf("%s: got %d %v; want 401, %s…, and no-store", name, w.Code, w.Header(), want)
		}
		raw := testkit.Must(base64.RawURLEncoding.Strict().DecodeString(strings.TrimSuffix(strings.TrimPrefix(got, want), `"`)))
		var content any
		if err := json.Unmarshal(raw, &content); err != nil || !reflect.DeepEqual(content, asJSON(t, object{"authorization_details": objects})) {
			t.Errorf("%s: got %s, %v; want %v alone", name, raw, err, objects)
		}
		if first != nil && !reflect.DeepEqual(first, w.Header()) {
			t.Errorf("got %v and %v; want the same", first, w.Header())
		}
		first = w.Header()
	}
	refused := testkit.WantReason(t, v.Check(t.Context(), callerOf(t), accesstoken.Policy{Details: []accesstoken.DetailRequirement{{Type: "files"}}}), accesstoken.AuthorizationDetailsInsufficient)
	if refused.HTTPStatus() != 401 || refused.GRPCCode() != 16 || remediationOf(t, refused) == nil {
		t.Errorf("Check: got %d, gRPC %d; want 401, 16 and the remediation", refused.HTTPStatus(), refused.GRPCCode())
	}
}

// callerOf returns claims of a good token without details.
func callerOf(t *testing.T) accesstoken.Claims {
	t.Helper()
	caller, _ := accesstoken.FromContext(accesstokentest.NewContext(t.Context(), nil))
	return caller
}

// RAR-12: a token with the objects that a client was told to request satisfies the policy.
func TestTheRemediationSatisfiesThePolicy(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := drafting(t, as, nil)
	for _, details := range [][]accesstoken.DetailRequirement{
		{{Type: "payment"}},
		{{Type: "payment", Actions: []string{"a", "b"}, DataTypes: []string{"c"}, Privileges: []string{"d"}, Location: "https://e", Identifier: "f"}},
		{{Type: "any", Actions: []string{"a"}, Location: "<&>", Identifier: `"é\`}, {Type: "payment", Identifier: "1"}, {Type: "payment", Identifier: "2"}},
		{{Type: "files", Location: "https://a/b"}},
	} {
		policy := accesstoken.Policy{Details: details}
		_, err := v.Authorize(t.Context(), accesstoken.Bearer(as.Token(nil)), policy)
		told := remediationOf(t, err)["authorization_details"]
		if _, err := v.Authorize(t.Context(), accesstoken.Bearer(as.Token(accesstokentest.Claims{"authorization_details": told})), policy); err != nil {
			t.Errorf("a token with %v: got %v; want it accepted", told, err)
		}
	}
}

// RAR-12: only a caller gets it whose token was found good and ours.
func TestWhoGetsNoRemediation(t *testing.T) {
	as, other := accesstokentest.NewServer(t), accesstokentest.NewServer(t)
	says := accesstoken.DetailsInsufficient(object{"type": "payment", "payee": "canary"})
	v := drafting(t, as, func(c *accesstoken.Config) {
		c.Authenticate = func(_ context.Context, r *http.Request) (accesstoken.Identity, error) {
			switch r.Header.Get("X-Api-Key") {
			case "refused":
				return accesstoken.Identity{}, says
			case "known":
				return robot(nil), nil
			}
			return accesstoken.Identity{}, nil
		}
	})
	policy := accesstoken.Policy{Scopes: scopes.All("a"), Details: []accesstoken.DetailRequirement{{Type: "payment", Identifier: "canary"}}}
	ask := func(policy accesstoken.Policy, fields ...string) error {
		r := httptest.NewRequest("GET", "/", nil)
		for n := 0; n < len(fields); n += 2 {
			r.Header.Set(fields[n], fields[n+1])
		}
		_, err := v.Authorize(t.Context(), v.CredentialsOf(r), policy)
		return err
	}
	of := func(as *accesstokentest.Server, claims accesstokentest.Claims) []string {
		return []string{"Authorization", "Bearer " + as.Token(claims)}
	}
	stranger, err := drafting(t, other, nil).Validate(t.Context(), accesstoken.Bearer(other.Token(nil)))
	if err != nil {
		t.Fatal(err)
	}
	vouched := testkit.Must(v.Vouch(robot(nil)))
	const insufficient = accesstoken.AuthorizationDetailsInsufficient
	for name, test := range map[string]struct {
		err  error
		want accesstoken.Reason
	}{
		"no token":                        {ask(policy), accesstoken.CredentialsMissing},
		"junk":                            {ask(policy, "Authorization", "Bearer junk"), accesstoken.TokenMalformed},
		"an unknown issuer":               {ask(policy, of(other, accesstokentest.Claims{"scope": "a"})...), accesstoken.IssuerUnknown},
		"an expired token":                {ask(policy, of(as, accesstokentest.Claims{"scope": "a", "exp": time.Now().Add(-time.Hour).Unix()})...), accesstoken.TokenExpired},
		"a token for another":             {ask(policy, of(as, accesstokentest.Claims{"scope": "a", "aud": "https://other.example"})...), accesstoken.AudienceMismatch},
		"a token without the scope":       {ask(policy, of(as, nil)...), accesstoken.ScopeInsufficient},
		"an API key that is refused":      {ask(policy, "X-Api-Key", "refused"), insufficient},
		"an API key":                      {ask(accesstoken.Policy{Details: policy.Details}, "X-Api-Key", "known"), insufficient},
		"a caller that was vouched for":   {v.Check(t.Context(), vouched, accesstoken.Policy{Details: policy.Details}), insufficient},
		"the same, by a handler":          {v.Refuse(accesstoken.NewContext(t.Context(), vouched), says), insufficient},
		"no caller, by a handler":         {v.Refuse(t.Context(), says), insufficient},
		"another's caller, by a handler":  {v.Refuse(accesstoken.NewContext(t.Context(), stranger), says), insufficient},
		"zero claims, by a handler":       {v.Refuse(accesstoken.NewContext(t.Context(), accesstoken.Claims{}), says), insufficient},
		"a caller that the hook denies":   {v.Refuse(accesstoken.NewContext(t.Context(), callerOf(t)), accesstoken.Deny(insufficient, nil)), insufficient},
		"a caller that gets another text": {v.Refuse(accesstoken.NewContext(t.Context(), callerOf(t)), insufficient), insufficient},
	} {
		refused := testkit.WantReason(t, test.err, test.want)
		if got := remediationOf(t, refused); got != nil {
			t.Errorf("%s: got %v; want no remediation", name, got)
		}
		if test.want == insufficient && name != "a caller that the hook denies" && (refused.HTTPStatus() != 401 || refused.Public().Params["error"] != "insufficient_authorization") {
			t.Errorf("%s: got %d, %v; want 401 insufficient_authorization", name, refused.HTTPStatus(), refused.Public())
		}
	}
	if remediationOf(t, v.Refuse(accesstoken.NewContext(t.Context(), callerOf(t)), says)) == nil {
		t.Error("a good token: got no remediation; want it")
	}
	zero := new(accesstoken.Validator)
	if got := zero.Refuse(accesstoken.NewContext(t.Context(), callerOf(t)), says); remediationOf(t, got) != nil || got.HTTPStatus() != 403 {
		t.Errorf("a Validator that was not made: got %v; want 403 without remediation", got)
	}
}

// An Accept that refuses knows a good token. Its objects count, and not those of the route.
func TestTheRemediationOfAnAccept(t *testing.T) {
	as := accesstokentest.NewServer(t)
	wanted := []object{{"type": "payment"}}
	v := drafting(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Accept = func(context.Context, accesstoken.Claims) error { return accesstoken.DetailsInsufficient(wanted[0]) }
	})
	_, err := v.Authorize(t.Context(), accesstoken.Bearer(as.Token(nil)), accesstoken.Policy{Details: []accesstoken.DetailRequirement{{Type: "files"}}})
	if got := remediationOf(t, err)["authorization_details"]; !reflect.DeepEqual(got, asJSON(t, wanted)) {
		t.Errorf("got %v; want %v", got, wanted)
	}
}

// RAR-12: at most 4 KiB. RAR-13: what is no object of a known type is not sent. The operator
// is told once.
func TestARemediationThatCannotBeSent(t *testing.T) {
	padded := func(size int) object { // makes a remediation of that size before base64url
		const rest = len(`{"authorization_details":[{"pad":"","type":"payment"}]}`)
		return object{"type": "payment", "pad": strings.Repeat("x", size-rest)}
	}
	for name, test := range map[string]struct {
		wanted any
		cause  string // "": it is sent
	}{
		"4096 bytes":         {padded(3072), ""},
		"4098 bytes":         {padded(3073), "more than 4096 bytes"},
		"a channel":          {make(chan int), "not an object"},
		"null":               {nil, "not an object"},
		"a text":             {"payment", "not an object"},
		"a list":             {[]object{{"type": "payment"}}, "not an object"},
		"no type":            {object{"actions": []string{"a"}}, "not an object"},
		"a type of no text":  {object{"type": 1}, "not an object"},
		"actions of no list": {object{"type": "payment", "actions": "a"}, "not an object"},
		"two types":          {json.RawMessage(`{"type":"payment","type":"files"}`), "not an object"},
		"an unknown type":    {object{"type": "canary"}, "not among Config.DetailTypes"},
	} {
		t.Run(name, func(t *testing.T) {
			var logged bytes.Buffer
			v := drafting(t, accesstokentest.NewServer(t), func(c *accesstoken.Config) { c.Logger = slog.New(slog.NewTextHandler(&logged, nil)) })
			ctx := accesstoken.NewContext(t.Context(), callerOf(t))
			for range 2 {
				for _, also := range [][]any{{test.wanted}, {object{"type": "files"}, test.wanted}} {
					if test.cause == "" && len(also) > 1 {
						continue
					}
					refused := v.Refuse(ctx, accesstoken.DetailsInsufficient(also...))
					if sent := remediationOf(t, refused) != nil; sent != (test.cause == "") || refused.HTTPStatus() != 401 {
						t.Errorf("got %v; want 401, with a remediation: %v", refused.Header(), test.cause == "")
					}
				}
			}
			if got := strings.Count(logged.String(), "\n"); test.cause == "" && got != 0 || test.cause != "" && (got != 1 || !strings.Contains(logged.String(), test.cause)) {
				t.Errorf("got the log %s; want %q once", &logged, test.cause)
			}
			if strings.Contains(logged.String(), "canary") {
				t.Errorf("got the log %s; want nothing of the object in it", &logged)
			}
		})
	}
}

// RAR-13: a handler's object, or the policy's, and nothing of the token.
func TestTheRemediationHasNothingOfTheToken(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := drafting(t, as, func(c *accesstoken.Config) { c.DraftRARReferenceKey = bytes.Repeat([]byte("k"), 32) })
	token := as.Token(accesstokentest.Claims{"sub": "canary", "jti": "canary", "client_id": "canary", "canary": "canary", "authorization_details": []object{
		{"type": "payment", "actions": []string{"canary"}, "identifier": "canary", "canary": "canary"}, {"type": "canary"},
	}})
	claims, err := v.Validate(t.Context(), accesstoken.Bearer(token))
	if err != nil {
		t.Fatal(err)
	}
	policy := accesstoken.Policy{Details: []accesstoken.DetailRequirement{{Type: "payment", Actions: []string{"initiate"}}}}
	byHandler := v.Refuse(accesstoken.NewContext(t.Context(), claims), accesstoken.DetailsInsufficient(object{"type": "payment", "actions": []string{"initiate"}}))
	byPolicy := v.Check(t.Context(), claims, policy)
	for name, refused := range map[string]error{"policy": byPolicy, "handler": byHandler} {
		if got := remediationOf(t, refused); got == nil || strings.Contains(fmt.Sprint(got), "canary") {
			t.Errorf("%s: got %v; want a remediation without the canary", name, got)
		}
	}
	if !reflect.DeepEqual(remediationOf(t, byPolicy), remediationOf(t, byHandler)) {
		t.Error("got different remediations for equal details; want the same")
	}
	_, err = v.Authorize(t.Context(), accesstoken.Bearer(as.Token(nil)), policy)
	if !reflect.DeepEqual(remediationOf(t, err), remediationOf(t, byPolicy)) {
		t.Error("got different remediations for two tokens; want the same")
	}
}

// RAR-14: equal details have one reference, and nobody without the key can make it.
func TestTheReference(t *testing.T) {
	as := accesstokentest.NewServer(t)
	key := bytes.Repeat([]byte("k"), 32)
	keyed := func(key []byte) func(*accesstoken.Config) {
		return func(c *accesstoken.Config) {
			c.DraftRARReferenceKey = key
			c.DetailTypes["once"] = accesstoken.DetailType{NoReference: true}
		}
	}
	of := func(v *accesstoken.Validator, wanted ...string) any {
		var objects []any
		for _, text := range wanted {
			objects = append(objects, json.RawMessage(text))
		}
		content := remediationOf(t, v.Refuse(accesstoken.NewContext(t.Context(), callerOf(t)), accesstoken.DetailsInsufficient(objects...)))
		if content == nil {
			t.Fatalf("%s: got no remediation", wanted)
		}
		return content["authorization_reference"]
	}
	overwritten := bytes.Clone(key)
	v, twin, stranger := drafting(t, as, keyed(key)), drafting(t, as, keyed(overwritten)), drafting(t, as, keyed(bytes.Repeat([]byte("l"), 32)))
	clear(overwritten)
	relative := testkit.Must(v.ForResource(accesstoken.Resource{ID: "https://other.example"}))
	first := of(v, `{"type":"payment","amount":{"value":1.5,"currency":"EUR"}}`)
	if text, _ := first.(string); len(text) != 22 {
		t.Errorf("got %v; want 128 bits", first)
	}
	for name, test := range map[string]struct {
		v      *accesstoken.Validator
		wanted []string
		same   bool
	}{
		"once more":                  {v, []string{`{"type":"payment","amount":{"value":1.5,"currency":"EUR"}}`}, true},
		"an instance with its key":   {twin, []string{`{"type":"payment","amount":{"value":1.5,"currency":"EUR"}}`}, true},
		"the members in other order": {v, []string{`{"amount": {"currency":"EUR", "value":1.5}, "type":"payment"}`}, true},
		"a number in another form":   {v, []string{`{"type":"payment","amount":{"value":15e-1,"currency":"\u0045UR"}}`}, true},
		"another key":                {stranger, []string{`{"type":"payment","amount":{"value":1.5,"currency":"EUR"}}`}, false},
		"another resource":           {relative, []string{`{"type":"payment","amount":{"value":1.5,"currency":"EUR"}}`}, false},
		"another amount":             {v, []string{`{"type":"payment","amount":{"value":1.6,"currency":"EUR"}}`}, false},
		"one object more":            {v, []string{`{"type":"payment","amount":{"value":1.5,"currency":"EUR"}}`, `{"type":"files"}`}, false},
	} {
		if got := of(test.v, test.wanted...); got == nil || (got == first) != test.same {
			t.Errorf("%s: got %v after %v; want the same: %v", name, got, first, test.same)
		}
	}
	if a, b := of(v, `{"type":"payment"}`, `{"type":"files"}`), of(v, `{"type":"files"}`, `{"type":"payment"}`); a != b {
		t.Errorf("the objects in other order: got %v and %v; want the same", a, b)
	}
	if a, b := of(v, `{"type":"payment","n":9007199254740993}`), of(v, `{"type":"payment","n":9007199254740992}`); a == b {
		t.Errorf("large integers: got %v for both; want two", a)
	}
	for name, got := range map[string]any{
		"a type that is good once":   of(v, `{"type":"once"}`),
		"one of them is good once":   of(v, `{"type":"once"}`, `{"type":"payment"}`),
		"one of them, in the end":    of(v, `{"type":"payment"}`, `{"type":"once"}`),
		"no key":                     of(drafting(t, as, nil), `{"type":"payment"}`),
		"no key, and good only once": of(drafting(t, as, func(c *accesstoken.Config) { c.DetailTypes["once"] = accesstoken.DetailType{NoReference: true} }), `{"type":"once"}`),
	} {
		if got != nil {
			t.Errorf("%s: got %v; want no reference", name, got)
		}
	}
}

func TestDraftFaults(t *testing.T) {
	for want, change := range map[string]func(*accesstoken.Config){
		"no effect without DetailTypes": func(c *accesstoken.Config) { c.DraftRARMetadataRemediation = true },
		"DraftRARMetadataRemediation and TokenField ex": func(c *accesstoken.Config) {
			c.DraftRARMetadataRemediation, c.DetailTypes, c.TokenField = true, detailTypes(), "X-Token"
		},
		"no effect without DraftRARMetadataRemediation": func(c *accesstoken.Config) { c.DetailTypes, c.DraftRARReferenceKey = detailTypes(), make([]byte, 32) },
		"DraftRARReferenceKey has 31 bytes": func(c *accesstoken.Config) {
			c.DraftRARMetadataRemediation, c.DetailTypes, c.DraftRARReferenceKey = true, detailTypes(), make([]byte, 31)
		},
		"DraftRARReferenceKey has 0 bytes": func(c *accesstoken.Config) {
			c.DraftRARMetadataRemediation, c.DetailTypes, c.DraftRARReferenceKey = true, detailTypes(), []byte{}
		},
	} {
		config := accesstoken.Config{Resource: resource, Issuers: []accesstoken.Issuer{{URL: "https://login.example.com"}}}
		change(&config)
		if _, err := accesstoken.NewValidator(config); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v; want only %q", err, want)
		}
	}
}

// A configuration with a secret in it can be printed.
func TestAPrintedConfigHasNoSecrets(t *testing.T) {
	config := accesstoken.Config{Resource: resource, DraftRARReferenceKey: []byte("canary")}
	for _, verb := range strings.Fields("%v %+v %#v %s %q %x %d") {
		for _, value := range []any{config, &config, []any{config}, struct{ Config accesstoken.Config }{config}} {
			got := fmt.Sprintf(verb, value)
			if strings.Contains(got, "canary") || strings.Contains(got, "63616e") || strings.Contains(got, "99 97 110") || strings.Contains(got, "0x63, 0x61") {
				t.Errorf("%s of %T: got %s; want no secret", verb, value, got)
			}
		}
	}
}
