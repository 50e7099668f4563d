package accesstoken_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/jwks"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/resourcemetadata"
	"github.com/accesstoken/accesstoken/scopes"
)

// detailTypes are the types that these tests configure.
func detailTypes() map[string]accesstoken.DetailType {
	return map[string]accesstoken.DetailType{
		"payment": {},
		"any":     {AbsentIsAny: []string{"actions", "datatypes", "privileges", "locations", "identifier"}},
		"files":   {LocationsBelow: true},
	}
}

// RAR-01, RAR-02, RAR-04 to RAR-07, RAR-10.
func TestDetails(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) { c.DetailTypes = detailTypes() })
	wants := func(all ...accesstoken.DetailRequirement) accesstoken.Policy { return accesstoken.Policy{Details: all} }
	payment := accesstoken.DetailRequirement{Type: "payment", Actions: []string{"initiate", "cancel"}, Location: "https://bank.example/a", Identifier: "account", DataTypes: []string{"balance"}, Privileges: []string{"admin"}}
	whole := func(name string, value any) object {
		o := object{"type": "payment", "actions": []string{"cancel", "initiate", "status"}, "locations": []string{"https://other.example", "https://bank.example/a"},
			"identifier": "account", "datatypes": []string{"balance"}, "privileges": []string{"admin"}, "amount": object{"value": "123.50"}}
		if o[name] = value; value == nil {
			delete(o, name)
		}
		return o
	}
	at := func(kind, location string) accesstoken.Policy {
		return wants(accesstoken.DetailRequirement{Type: kind, Location: location})
	}
	many := make([]object, 65)
	for n := range many {
		many[n] = object{"type": "payment"}
	}
	wide := object{"type": "any"}
	for n := range 300 {
		wide[fmt.Sprint("member", n)] = n
	}
	const insufficient, malformed = accesstoken.AuthorizationDetailsInsufficient, accesstoken.ClaimInvalid
	anyPayment := accesstoken.DetailRequirement{Type: "payment"}
	for name, test := range map[string]struct {
		details any // nil: no claim
		policy  accesstoken.Policy
		want    accesstoken.Reason
	}{
		"no demand":                  {nil, accesstoken.Policy{}, ""},
		"no demand, malformed":       {"x", accesstoken.Policy{}, ""},
		"no details":                 {nil, wants(anyPayment), insufficient},
		"the type":                   {[]object{{"type": "payment"}}, wants(anyPayment), ""},
		"another type":               {[]object{{"type": "account"}}, wants(anyPayment), insufficient},
		"the type in other letters":  {[]object{{"type": "Payment"}}, wants(anyPayment), insufficient},
		"an unknown type beside it":  {[]object{{"type": "unheard", "x": 1}, {"type": "payment"}}, wants(anyPayment), ""},
		"all of it":                  {[]object{whole("", "")}, wants(payment), ""},
		"all of it, in the second":   {[]object{{"type": "payment"}, whole("", "")}, wants(payment), ""},
		"a missing action":           {[]object{whole("actions", []string{"initiate"})}, wants(payment), insufficient},
		"no actions":                 {[]object{whole("actions", nil)}, wants(payment), insufficient},
		"empty actions":              {[]object{whole("actions", []string{})}, wants(payment), insufficient},
		"no datatypes":               {[]object{whole("datatypes", nil)}, wants(payment), insufficient},
		"no privileges":              {[]object{whole("privileges", nil)}, wants(payment), insufficient},
		"no locations":               {[]object{whole("locations", nil)}, wants(payment), insufficient},
		"another location":           {[]object{whole("locations", []string{"https://bank.example/b"})}, wants(payment), insufficient},
		"no identifier":              {[]object{whole("identifier", nil)}, wants(payment), insufficient},
		"another identifier":         {[]object{whole("identifier", "other")}, wants(payment), insufficient},
		"members of two objects":     {[]object{whole("actions", nil), whole("locations", nil)}, wants(payment), insufficient},
		"two demands, two objects":   {[]object{{"type": "payment"}, {"type": "files"}}, wants(anyPayment, accesstoken.DetailRequirement{Type: "files"}), ""},
		"two demands, one object":    {[]object{{"type": "payment"}}, wants(anyPayment, accesstoken.DetailRequirement{Type: "files"}), insufficient},
		"And":                        {[]object{{"type": "payment"}}, wants(anyPayment).And(at("files", "https://a")), insufficient},
		"And, both":                  {[]object{{"type": "payment"}, {"type": "files", "locations": []string{"https://a"}}}, wants(anyPayment).And(at("files", "https://a")), ""},
		"absent is any":              {[]object{{"type": "any"}}, wants(accesstoken.DetailRequirement{Type: "any", Actions: []string{"a"}, DataTypes: []string{"b"}, Privileges: []string{"c"}, Location: "d", Identifier: "e"}), ""},
		"present is not any":         {[]object{{"type": "any", "actions": []string{"x"}}}, wants(accesstoken.DetailRequirement{Type: "any", Actions: []string{"a"}}), insufficient},
		"present and empty":          {[]object{{"type": "any", "actions": []string{}}}, wants(accesstoken.DetailRequirement{Type: "any", Actions: []string{"a"}}), insufficient},
		"null is not absent":         {[]object{{"type": "any", "actions": nil}}, wants(accesstoken.DetailRequirement{Type: "any", Actions: []string{"a"}}), insufficient},
		"null locations":             {[]object{{"type": "any", "locations": nil}}, at("any", "a"), insufficient},
		"a null identifier":          {[]object{{"type": "any", "identifier": nil}}, wants(accesstoken.DetailRequirement{Type: "any", Identifier: "a"}), insufficient},
		"more than 256 members":      {[]object{wide}, wants(accesstoken.DetailRequirement{Type: "any", Actions: []string{"a"}}), insufficient},
		"an empty identifier":        {[]object{{"type": "any", "identifier": ""}}, wants(accesstoken.DetailRequirement{Type: "any", Identifier: "a"}), insufficient},
		"another identifier, of any": {[]object{{"type": "any", "identifier": "x"}}, wants(accesstoken.DetailRequirement{Type: "any", Identifier: "a"}), insufficient},
		"other locations, of any":    {[]object{{"type": "any", "locations": []string{"x"}}}, wants(accesstoken.DetailRequirement{Type: "any", Location: "a"}), insufficient},

		"a final slash":         {[]object{{"type": "payment", "locations": []string{"https://a/"}}}, at("payment", "https://a"), insufficient},
		"other letters":         {[]object{{"type": "payment", "locations": []string{"https://A"}}}, at("payment", "https://a"), insufficient},
		"below":                 {[]object{{"type": "payment", "locations": []string{"https://api/a"}}}, at("payment", "https://api/a/b"), insufficient},
		"below, which counts":   {[]object{{"type": "files", "locations": []string{"https://api/a"}}}, at("files", "https://api/a/b"), ""},
		"below a slash":         {[]object{{"type": "files", "locations": []string{"https://api/a/"}}}, at("files", "https://api/a/b"), ""},
		"a longer segment":      {[]object{{"type": "files", "locations": []string{"https://api/a"}}}, at("files", "https://api/ab"), insufficient},
		"the scheme is no host": {[]object{{"type": "files", "locations": []string{"https://"}}}, at("files", "https://api/ab"), insufficient},
		"half a scheme":         {[]object{{"type": "files", "locations": []string{"https:/", "https:", "", "/"}}}, at("files", "https://api/ab"), insufficient},
		"an empty location":     {[]object{{"type": "files", "locations": []string{"", "/"}}}, at("files", "/a"), insufficient},

		"not an array":           {object{"type": "payment"}, wants(anyPayment), malformed},
		"a text":                 {"payment", wants(anyPayment), malformed},
		"an array of texts":      {[]string{"payment"}, wants(anyPayment), malformed},
		"an object without type": {[]object{{"type": "payment"}, {"actions": []string{"a"}}}, wants(anyPayment), malformed},
		"a type that is no text": {[]object{{"type": 1}}, wants(anyPayment), malformed},
		"actions as a text":      {[]object{{"type": "payment", "actions": "initiate"}}, wants(anyPayment), malformed},
		"64 objects":             {many[:64], wants(anyPayment), ""},
		"65 objects":             {many, wants(anyPayment), malformed},
		"a type of 256 bytes":    {[]object{{"type": strings.Repeat("x", 256)}, {"type": "payment"}}, wants(anyPayment), ""},
		"a type of 257 bytes":    {[]object{{"type": strings.Repeat("x", 257)}, {"type": "payment"}}, wants(anyPayment), malformed},
		"null":                   {accesstokentest.Null, wants(anyPayment), malformed},

		"scopes come first": {nil, accesstoken.Policy{Scopes: scopes.All("a"), Details: []accesstoken.DetailRequirement{anyPayment}}, accesstoken.ScopeInsufficient},
		"then the login":    {nil, accesstoken.Policy{ACR: []string{"mfa"}, Details: []accesstoken.DetailRequirement{anyPayment}}, accesstoken.StepUpRequired},
	} {
		t.Run(name, func(t *testing.T) {
			claims := accesstokentest.Claims{"aud": []string{resource, "opaque audience"}} // RAR-07
			if test.details != nil {
				claims["authorization_details"] = test.details
			}
			token := as.Token(claims)
			for _, how := range []string{"verified", "cached", "read before"} {
				_, err := v.Authorize(t.Context(), accesstoken.Bearer(token), test.policy)
				if test.want == "" && err != nil {
					t.Errorf("%s: got %v; want it accepted", how, err)
				} else if test.want != "" {
					wantReason(t, err, test.want)
				}
			}
		})
	}
}

// RAR-03: 403 with insufficient_scope, and without the scopes, because none would help.
func TestTheResponseToInsufficientDetails(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) { c.DetailTypes = detailTypes() })
	auth := middleware.New(v, nil)
	demanding := auth.RequirePolicy(accesstoken.Policy{Scopes: scopes.All("a"), Details: []accesstoken.DetailRequirement{{Type: "payment"}}})
	inHandler := auth.Require(scopes.All("a")).WrapFunc(func(w http.ResponseWriter, r *http.Request) {
		auth.Refuse(w, r, fmt.Errorf("checked: %w", accesstoken.DetailsInsufficient(object{"type": "payment", "amount": "canary"}))) // RAR-08
	})
	var first http.Header
	for name, handler := range map[string]http.Handler{"middleware": demanding.Wrap(http.NotFoundHandler()), "handler": inHandler} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+as.Token(accesstokentest.Claims{"scope": "a"}))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		const want = `Bearer realm="https://api.example.com", error="insufficient_scope", error_description="the access token lacks required authorization details"`
		if got := w.Header().Get("WWW-Authenticate"); w.Code != 403 || got != want {
			t.Errorf("%s: got %d %s; want 403 %s", name, w.Code, got, want)
		}
		if first != nil && fmt.Sprint(first) != fmt.Sprint(w.Header()) {
			t.Errorf("got %v and %v; want the same", first, w.Header())
		}
		if first = w.Header(); strings.Contains(fmt.Sprint(first, w.Body), "canary") {
			t.Errorf("%s: the client sees what the handler wants", name)
		}
	}
}

// RAR-11: they are read once for each token, and a token without a demand pays nothing.
func TestDetailsAreReadOnce(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) { c.DetailTypes = detailTypes() })
	token := accesstoken.Bearer(as.Token(accesstokentest.Claims{"authorization_details": []object{{"type": "payment", "actions": []string{"initiate"}}}}))
	for name, policy := range map[string]accesstoken.Policy{
		"no demand": {}, "a demand": {Details: []accesstoken.DetailRequirement{{Type: "payment", Actions: []string{"initiate"}}}},
	} {
		authorize := func() {
			if _, err := v.Authorize(t.Context(), token, policy); err != nil {
				t.Fatal(err)
			}
		}
		authorize()
		if got := testing.AllocsPerRun(100, authorize); got != 0 {
			t.Errorf("%s: got %v allocations; want none", name, got)
		}
	}
}

// Claims.AuthorizationDetails still decodes what a policy does not read.
func TestAPolicyLeavesTheDetailsToTheHandler(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) { c.DetailTypes = detailTypes() })
	token := accesstoken.Bearer(as.Token(accesstokentest.Claims{"authorization_details": []object{{"type": "payment", "amount": "1.50"}}}))
	for range 2 {
		claims, err := v.Authorize(t.Context(), token, accesstoken.Policy{Details: []accesstoken.DetailRequirement{{Type: "payment"}}})
		if err != nil {
			t.Fatal(err)
		}
		details, err := claims.AuthorizationDetails()
		var private struct {
			Amount string `json:"amount"`
		}
		if err != nil || len(details) != 1 || details[0].Decode(&private) != nil || private.Amount != "1.50" {
			t.Errorf("got %v, %v, %q; want the amount", details, err, private.Amount)
		}
	}
}

// RAR-09: where a JWT and an answer both have details, the answer's count.
func TestTheDetailsOfAJWTAndAnAnswer(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.DetailTypes = detailTypes()
		c.Issuers[0].Introspection, c.Issuers[0].AlwaysIntrospect = introspecting(t, as, nil), true
		c.Issuers[0].Keys = jwks.Static(as.Keys()...)
	})
	policy := accesstoken.Policy{Details: []accesstoken.DetailRequirement{{Type: "payment"}}}
	payment, other := []object{{"type": "payment"}}, []object{{"type": "other"}}
	for name, test := range map[string]struct {
		jwt, answer any
		want        accesstoken.Reason
	}{
		"both":                      {payment, payment, ""},
		"the JWT alone":             {payment, nil, ""},
		"the answer alone":          {nil, payment, ""},
		"neither":                   {nil, nil, accesstoken.AuthorizationDetailsInsufficient},
		"the answer has others":     {payment, other, accesstoken.AuthorizationDetailsInsufficient},
		"the answer has more":       {other, payment, ""},
		"the answer is malformed":   {payment, "x", accesstoken.ClaimInvalid},
		"the JWT alone, and broken": {"x", nil, accesstoken.ClaimInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			of := func(details any) accesstokentest.Claims {
				claims := accesstokentest.Claims{"jti": name}
				if details != nil {
					claims["authorization_details"] = details
				}
				return claims
			}
			token := as.Token(of(test.jwt))
			as.Remember(token, as.Claims(of(test.answer)))
			_, err := v.Authorize(t.Context(), accesstoken.Bearer(token), policy)
			if test.want == "" && err != nil {
				t.Errorf("got %v; want it accepted", err)
			} else if test.want != "" {
				wantReason(t, err, test.want)
			}
		})
	}
	opaque := as.Opaque(accesstokentest.Claims{"authorization_details": payment})
	claims, err := v.Authorize(t.Context(), accesstoken.Bearer(opaque), policy)
	if err != nil {
		t.Fatalf("an opaque token: got %v; want it accepted", err)
	}
	if err := v.Check(t.Context(), claims, policy); err != nil {
		t.Errorf("Check: got %v; want it accepted", err)
	}
	wantReason(t, v.Check(t.Context(), claims, accesstoken.Policy{Details: []accesstoken.DetailRequirement{{Type: "files"}}}), accesstoken.AuthorizationDetailsInsufficient)
}

func TestDetailFaults(t *testing.T) {
	for want, types := range map[string]map[string]accesstoken.DetailType{
		"DetailTypes is set but empty":           {},
		"DetailTypes has a type of 0 bytes":      {"": {}},
		"DetailTypes has a type of 257 bytes":    {strings.Repeat("x", 257): {}},
		`AbsentIsAny has "amount"`:               {"a": {AbsentIsAny: []string{"amount"}}},
		`["a"].AbsentIsAny is set but empty`:     {"a": {AbsentIsAny: []string{}}},
		`["a"].AbsentIsAny has an empty element`: {"a": {AbsentIsAny: []string{""}}},
	} {
		_, err := accesstoken.NewValidator(accesstoken.Config{Resource: resource, Issuers: []accesstoken.Issuer{{URL: "https://login.example.com"}}, DetailTypes: types})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want %q", err, want)
		}
	}
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.DetailTypes = detailTypes()
		c.DetailTypes[strings.Repeat("x", 256)] = accesstoken.DetailType{}
	})
	for want, details := range map[string][]accesstoken.DetailRequirement{
		"Details is set but empty":                {},
		"Details[1] has no Type":                  {{Type: "payment"}, {}},
		"Details[0] has a list that is empty":     {{Type: "payment", Actions: []string{}}},
		"Details[0] has a list that is empty, ":   {{Type: "payment", DataTypes: []string{""}}},
		"Details[0] has a list that is empty, o":  {{Type: "payment", Privileges: []string{}}},
		`the type "other" is not among Config.De`: {{Type: "other"}},
	} {
		policy := accesstoken.Policy{Scopes: scopes.None(), Details: details}
		if err := v.PolicyErr(policy); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want %q", err, want)
		}
		_, err := v.Authorize(t.Context(), accesstoken.Bearer(as.Token(nil)), policy)
		wantReason(t, err, accesstoken.ResourceServerMisconfigured)
	}
	if err := v.PolicyErr(accesstoken.Policy{Scopes: scopes.None(), Details: []accesstoken.DetailRequirement{{Type: "payment"}}}); err != nil {
		t.Errorf("got %v; want no fault", err)
	}
}

// META-06.
func TestTheDocumentListsTheTypesOfDetails(t *testing.T) {
	types := detailTypes()
	_, _, document := published(t, func(c *accesstoken.Config) {
		c.DetailTypes, c.Metadata = types, &resourcemetadata.Metadata{}
	})
	if !strings.Contains(document, `"authorization_details_types_supported":["any","files","payment"]`) {
		t.Errorf("got %s", document)
	}
}

func TestDetailsInsufficient(t *testing.T) {
	v := newStaticValidator(t)
	refused := v.Refuse(t.Context(), accesstoken.DetailsInsufficient())
	if !errors.Is(refused, accesstoken.AuthorizationDetailsInsufficient) || refused.HTTPStatus() != 403 || refused.GRPCCode() != 7 {
		t.Errorf("got %v", refused)
	}
	if got := testkit.Must(refused.Public(), nil).Params["error"]; got != "insufficient_scope" {
		t.Errorf("got %q for gRPC", got)
	}
}
