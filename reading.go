package accesstoken

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// A reading has what an explanation prints of a request. It decides nothing.
type reading struct {
	v           *Validator
	credentials Credentials
	policy      *Policy
	header      *jose.Header // nil: none can be read
	payload     string
	own         jose.Claims // as the token has them
	now         time.Time
}

func (v *Validator) read(credentials Credentials, policy *Policy) *reading {
	r := &reading{v: v, credentials: credentials, policy: policy}
	if v.family == nil || credentials.none || len(credentials.text()) > v.maxToken {
		return r
	}
	r.now, _ = v.clock()
	token, err := jose.Parse(credentials.text())
	if token.Header != nil {
		r.header = token.Header
	}
	if err == nil {
		r.payload = token.Payload
		r.own, _ = jose.ReadClaims(token.Payload)
	}
	return r
}

// issuer returns the issuer of the token, or nil if it is not known.
func (r *reading) issuer() *issuer {
	i, _ := r.v.trail.issuer.(*issuer)
	return i
}

// known returns the facts that were known at a step, or nil.
func known(s step) *facts {
	f, _ := s.facts.(*facts)
	return f
}

// of returns what a check found, and what it expected.
func (r *reading) of(s step) (found, expected string) {
	switch s.check {
	case checkCredentials:
		return r.presented(), r.field()
	case checkSize:
		return fmt.Sprintf("%d bytes", len(r.credentials.text())), fmt.Sprintf("at most %d (MaxTokenSize)", r.v.maxToken)
	case checkHeader:
		return r.headers(), "a JWT whose alg is one of " + quoted(slices.Sorted(maps.Keys(r.v.roster.Load().algorithms))) + r.orOpaque()
	case checkPayload:
		return r.names(), "a JSON object in which no name is twice"
	case checkIssuer:
		return "iss " + quotedOne(r.own.Issuer), r.issuers()
	case checkClock:
		return r.times(known(s)), fmt.Sprintf("exp after, and nbf and iat before, %s, with a leeway of %v", moment(r.now), r.v.leeway) + r.ages()
	case checkScheme:
		return "the scheme " + r.scheme() + "; the token is bound to " + bindings(known(s)), "DPoP if the token is bound to a key, and otherwise Bearer"
	case checkSender:
		return "the token is bound to " + bindings(known(s)), r.proofs(known(s))
	case checkPolicy:
		return r.granted(known(s)), r.demands()
	}
	return r.ofIssuer(s)
}

// ofIssuer is of for the checks that need the issuer.
func (r *reading) ofIssuer(s step) (found, expected string) {
	i := r.issuer()
	if i == nil {
		return "", ""
	}
	by := i.settings()
	switch s.check {
	case checkKey:
		return "kid " + quotedOne(r.head().KeyID) + ", alg " + r.head().Algorithm, "a key that " + i.url + " publishes for " + quoted(i.algorithms)
	case checkSignature:
		return "a signature with " + r.head().Algorithm, "one that the key verifies"
	case checkKind:
		return "typ " + describeType(r.head()) + "; " + r.names(), "an access token of " + i.title()
	case checkLists:
		return r.listed(known(s)), i.lists()
	case checkAudience:
		return "aud " + quoted(audienceIn(known(s))), "one of " + quoted(r.v.aims.audienceOf(by))
	case checkAnswer:
		return "the token is sent to " + by.Introspection.String(), "an answer that it is active, and that names no other issuer"
	case checkAccept:
		if by.Accept == nil {
			return "the issuer has no Accept", ""
		}
		return "the issuer's Accept was called", "nil"
	}
	return "", ""
}

// head returns the header, or an empty one.
func (r *reading) head() *jose.Header {
	if r.header == nil {
		return new(jose.Header)
	}
	return r.header
}

func (r *reading) presented() string {
	switch c := r.credentials; {
	case c.Missing():
		return "no credentials"
	case c.none:
		return Reason(c.text()).words()
	case c.dpop:
		return "a token with the scheme DPoP"
	}
	return "a token"
}

func (r *reading) field() string {
	switch {
	case r.v.face == nil:
		return ""
	case r.v.face.field != "":
		return "one field " + r.v.face.field + " with the bare token"
	case r.v.face.dpop != nil:
		return "one Authorization field with the scheme Bearer or DPoP"
	}
	return "one Authorization field with the scheme Bearer"
}

func (r *reading) headers() string {
	if r.header == nil {
		return "no header of a JWT"
	}
	return "alg " + quotedOne(r.header.Algorithm) + ", kid " + quotedOne(r.header.KeyID) + ", typ " + describeType(r.header)
}

// orOpaque tells whether opaque tokens are accepted.
func (r *reading) orOpaque() string {
	if len(r.v.roster.Load().introspected) == 0 {
		return ""
	}
	return ", or an opaque token of an issuer with Introspection"
}

// names returns the names of the claims.
func (r *reading) names() string {
	if r.payload == "" {
		return "no claims"
	}
	var names []string
	_ = jose.Object(r.payload, func(name, _ string) error { // if it stops, what it has found is enough
		names = append(names, name)
		return nil
	})
	return "claims " + quotedAll(names, 40)
}

func (r *reading) issuers() string {
	urls := slices.Sorted(maps.Keys(r.v.roster.Load().issuers))
	resolved := ""
	if r.v.resolver != nil {
		resolved = ", or one that ResolveIssuer knows"
	}
	return "one of " + quoted(urls) + more(len(urls)) + resolved
}

func (r *reading) times(f *facts) string {
	if f == nil {
		return ""
	}
	text := "exp " + moment(f.expiry)
	if !f.expiry.IsZero() {
		text += fmt.Sprintf(" (in %v)", f.expiry.Sub(r.now).Round(time.Second))
	}
	if !f.notBefore.IsZero() {
		text += ", nbf " + moment(f.notBefore)
	}
	return text + ", iat " + moment(f.issuedAt)
}

// ages returns what the issuer's MaxAge and MaxLifetime demand.
func (r *reading) ages() string {
	if r.issuer() == nil {
		return ""
	}
	text := ""
	if by := r.issuer().settings(); by.MaxAge > 0 {
		text += fmt.Sprintf("; MaxAge is %v", by.MaxAge)
	} else if by.MaxLifetime > 0 {
		text += fmt.Sprintf("; MaxLifetime is %v", by.MaxLifetime)
	}
	return text
}

func bindings(f *facts) string {
	bound, _ := f.binding()
	var to []string
	if bound.KeyThumbprint != "" {
		to = append(to, "a DPoP key")
	}
	if bound.CertificateThumbprint != "" {
		to = append(to, "a client certificate")
	}
	if to == nil && bound.Present {
		return "something unknown"
	}
	if to == nil {
		return "nothing"
	}
	return strings.Join(to, " and ")
}

func (r *reading) scheme() string {
	if r.credentials.dpop {
		return "DPoP"
	}
	return "Bearer"
}

// proofs returns what the sender has to prove.
func (r *reading) proofs(f *facts) string {
	var text []string
	if bound, _ := f.binding(); bound.CertificateThumbprint != "" {
		text = append(text, "that very certificate, on the connection or from a trusted proxy")
	}
	if bound, _ := f.binding(); bound.KeyThumbprint != "" {
		text = append(text, "a proof by that key, for this request, not used before")
	}
	if text == nil {
		return "nothing to prove"
	}
	return strings.Join(text, "; ")
}

func (r *reading) listed(f *facts) string {
	text := "claims " + "as read before"
	if f != nil {
		text = "client " + quotedOne(f.clientID)
	} else if r.own.ClientID != "" {
		text = "client_id " + quotedOne(r.own.ClientID)
	}
	return text
}

// lists returns what the issuer's Tenants, Clients and Demand list.
func (i *issuer) lists() string {
	var text []string
	if i.tenants != nil {
		text = append(text, "a tenant of "+quoted(i.tenants)+more(len(i.tenants)))
	}
	if clients := i.settings().Clients; clients != nil {
		text = append(text, "a client of "+quoted(clients)+more(len(clients)))
	}
	for _, d := range i.demands {
		text = append(text, strings.Join(d.path, "/")+" to be one of "+quoted(d.listed)+more(len(d.listed)))
	}
	if text == nil {
		return "anything, because Tenants, Clients and Demand are not set"
	}
	return strings.Join(text, "; ")
}

// title names the profile or dialect by which tokens are judged.
func (i *issuer) title() string {
	if p, ok := i.settings().profile(); ok {
		return "the profile " + p.name()
	}
	return "the dialect " + i.settings().Dialect.Name
}

func audienceIn(f *facts) []string {
	if f == nil {
		return nil
	}
	return f.audience
}

func (r *reading) granted(f *facts) string {
	if f == nil {
		return ""
	}
	text := "scopes " + quotedOne(f.implied.String())
	if r.policy.demandsLogin() && f.login != nil {
		text += ", acr " + quotedOne(f.login.Class) + ", auth_time " + moment(f.login.Time) + ", amr " + quoted(f.login.Methods)
	}
	if r.policy.SPIFFEIDs != nil {
		text += ", sub " + quotedOne(f.subject)
	}
	if r.policy.demandsActor() {
		text += ", act " + acting(f)
	}
	return text
}

// acting returns who acts on behalf of the subject.
func acting(f *facts) string {
	switch {
	case !f.delegated:
		return "absent"
	case f.extras.actor == nil:
		return "malformed, or with more than 8 actors"
	}
	return Actor(*f.extras.actor).members()
}

// members returns the members of act that are there.
func (a Actor) members() string {
	var text []string
	for _, m := range [][2]string{{"iss", a.Issuer}, {"sub", a.Subject}, {"client_id", a.ClientID}} {
		if m[1] != "" {
			text = append(text, m[0]+" "+quotedOne(m[1]))
		}
	}
	return "{" + strings.Join(text, ", ") + "}"
}

// demands writes the policy.
func (r *reading) demands() string {
	p := r.policy
	text := []string{p.Scopes.String()}
	if p.SenderConstrained || r.v.family != nil && r.v.constrained {
		text = append(text, "a bound token")
	}
	if p.SPIFFEIDs != nil {
		text = append(text, "a workload of "+quoted(p.SPIFFEIDs)+more(len(p.SPIFFEIDs)))
	}
	if p.RefuseDelegated {
		text = append(text, "no act")
	}
	if p.Actors != nil {
		text = append(text, "an act of "+listed(p.Actors))
	}
	p.eachLogin(func(acr, amr []string) {
		if acr != nil {
			text = append(text, "an acr of "+quoted(acr))
		}
		if amr != nil {
			text = append(text, "an amr of "+quoted(amr))
		}
	})
	if p.MaxAuthAge != 0 {
		text = append(text, fmt.Sprintf("a login in the last %v", p.MaxAuthAge))
	}
	for _, d := range p.Details {
		text = append(text, "authorization_details of type "+quotedOne(d.Type))
	}
	return strings.Join(text, "; ")
}

// listed writes actors of a policy.
func listed(actors []Actor) string {
	var text []string
	for _, a := range actors[:min(len(actors), mostQuoted)] {
		text = append(text, a.members())
	}
	return strings.Join(text, ", ") + more(len(actors))
}

// more says that quoted has left some of so many out.
func more(all int) string {
	if all <= mostQuoted {
		return ""
	}
	return fmt.Sprintf(" and %d more", all-mostQuoted)
}

func quotedOne(text string) string {
	if text == "" {
		return "absent"
	}
	return quoted([]string{text})
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "absent"
	}
	return t.UTC().Format(time.RFC3339)
}
