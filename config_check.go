package accesstoken

import (
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/accesstoken/accesstoken/internal/challenge"
	"github.com/accesstoken/accesstoken/internal/fetch"
	"github.com/accesstoken/accesstoken/internal/jose"
)

// faults reports everything that is wrong with the Config.
func (c Config) faults() (f faults) {
	if c.Resource == "" {
		f.add("Resource is empty; name this resource server, for example by its https URL")
	}
	if !challenge.IsQuotable(c.realm()) {
		f.add("Realm %q is not printable ASCII; set Realm", c.realm())
	}
	f.list("Audience", c.Audience)
	if c.Leeway > maxLeeway {
		f.add("Leeway is %v; the maximum is %v, so synchronise the clocks instead", c.Leeway, maxLeeway)
	}
	if c.PublicAddressesOnly && c.HTTPClient != nil {
		f.add("PublicAddressesOnly and HTTPClient exclude each other; connections are made by the client's own transport")
	}
	if c.MaxTokenSize < 0 || c.MaxTokenSize > mostTokenSize {
		f.add("MaxTokenSize is %d; expected at most %d bytes, or zero for %d", c.MaxTokenSize, mostTokenSize, defaultTokenSize)
	}
	f = append(f, c.ForwardedCertificate.faults()...)
	f = append(f, c.tokenFieldFaults()...)
	if c.FAPI2 {
		f = append(f, c.fapiFaults()...)
	}
	f.hierarchy(c.ScopeImplies)
	f.details(c.DetailTypes)
	f = append(f, c.remediationFaults()...)
	f.list("ACROrder", c.ACROrder)
	for n, class := range c.ACROrder {
		if class != "" && !isACR(class) || slices.Contains(c.ACROrder[:n], class) {
			f.add("ACROrder[%d] is %q, which is there twice, or which no challenge can list; expected printable ASCII without spaces, quotes and backslashes", n, class)
		}
	}
	if len(c.Issuers) == 0 && c.ResolveIssuer == nil {
		f.add("Issuers is empty; name the authorization server whose tokens are accepted")
	}
	for i := range c.Issuers {
		issuer := &c.Issuers[i]
		for _, fault := range issuer.faults() {
			f.add("Issuers[%d] %q: %w", i, fetch.Redact(issuer.URL), fault)
		}
		if c.PublicAddressesOnly && issuer.HTTPClient != nil {
			f.add("Issuers[%d] %q: HTTPClient and Config.PublicAddressesOnly exclude each other; connections are made by the client's own transport", i, fetch.Redact(issuer.URL))
		}
	}
	return slices.Concat(f, c.sharedParts(), c.sharedSpellings())
}

// sharedParts reports settings that two issuers share. Each issuer is compared with the
// first one that has the same part, and not with all of them, because of ten thousand
// issuers there are fifty million pairs.
func (c Config) sharedParts() (f faults) {
	type part any // a Name or a KeySource
	first, collide := map[part]int{}, c.prefixesCollide()
	var asked []int // the issuers with Introspection
	for i := range c.Issuers {
		issuer, earlier := &c.Issuers[i], map[int]bool{}
		share := func(p part) {
			if j, ok := first[p]; ok {
				earlier[j] = true
				return
			}
			first[p] = i
		}
		if issuer.Name != "" {
			share(issuer.Name)
		}
		if issuer.Keys != nil && reflect.ValueOf(issuer.Keys).Comparable() {
			share(issuer.Keys)
		}
		if issuer.Introspection != nil && collide {
			if n := slices.IndexFunc(asked, func(j int) bool { return issuer.sharesPrefix(&c.Issuers[j]) }); n >= 0 {
				earlier[asked[n]] = true
			}
			asked = append(asked, i)
		}
		for _, j := range slices.Sorted(maps.Keys(earlier)) {
			for _, fault := range issuer.collisions(&c.Issuers[j]) {
				f.add("Issuers[%d] and Issuers[%d]: %w", j, i, fault)
			}
		}
	}
	return f
}

// prefixesCollide reports whether any TokenPrefix begins with another. If so, two that are
// neighbours in the alphabet do.
func (c Config) prefixesCollide() bool {
	var prefixes []string
	for i := range c.Issuers {
		if c.Issuers[i].Introspection != nil {
			prefixes = append(prefixes, c.Issuers[i].TokenPrefix)
		}
	}
	slices.Sort(prefixes)
	for i := 1; i < len(prefixes); i++ {
		if strings.HasPrefix(prefixes[i], prefixes[i-1]) {
			return true
		}
	}
	return false
}

// tokenFieldFaults reports a TokenField that cannot hold a token, or that something else
// reads.
func (c Config) tokenFieldFaults() (f faults) {
	name := http.CanonicalHeaderKey(c.TokenField)
	switch {
	case name == "":
		return nil
	case !challenge.IsToken(name):
		f.add("TokenField %q is not the name of a header field", c.TokenField)
	case name == "Authorization":
		f.add("TokenField is Authorization, where tokens have a scheme; leave TokenField empty")
	case slices.Contains([]string{"Proxy-Authorization", "Cookie", "Host", "Dpop"}, name), slices.Contains(c.ForwardedCertificate.proxies().Fields(), name):
		f.add("TokenField is %s, which holds something else than a bare token; name a field of its own", name)
	case strings.HasSuffix(name, "-Bin"):
		f.add("TokenField %q ends in -bin, which gRPC decodes as binary; name another field", c.TokenField)
	}
	if c.DPoP != nil {
		f.add("TokenField and DPoP exclude each other, because the scheme DPoP is part of Authorization (RFC 9449 §7.1)")
	}
	if c.FAPI2 {
		f.add("FAPI2: the profile demands tokens in Authorization (§5.3.4); leave TokenField empty")
	}
	return f
}

// sharedSpellings reports each iss that would name two issuers.
func (c Config) sharedSpellings() (f faults) {
	taken := map[string]int{} // index of the issuer that has the spelling
	for i, issuer := range c.Issuers {
		for _, id := range issuer.identities() {
			for _, spelling := range id.spellings() {
				if j, ok := taken[spelling]; ok && j != i {
					f.add("Issuers[%d] and Issuers[%d]: both have the URL %q, as URL or among Aliases; an iss must name one issuer", j, i, fetch.Redact(spelling))
				}
				taken[spelling] = i
			}
		}
	}
	return f
}

// faults reports faults in one issuer, without regard to the others.
func (i Issuer) faults() (f faults) {
	f = slices.Concat(i.urlFaults(), i.aliasFaults(), i.spiffeFaults())
	if i.Keys != nil && (i.JWKSURI != "" || i.MetadataURL != "") {
		f.add("Keys is set, so JWKSURI and MetadataURL would not be read; set one of them")
	}
	if i.JWKSURI != "" && i.MetadataURL != "" {
		f.add("JWKSURI is set, so MetadataURL would not be read; set one of them")
	}
	if i.Keys != nil && i.HTTPClient != nil {
		f.add("HTTPClient fetches metadata and keys, and Keys supplies them already; set one of them")
	}
	for _, fault := range checkKeySource(i.Keys) {
		f.add("Keys: %w", fault)
	}
	f.list("Audience", i.Audience)
	f.list("Algorithms", i.Algorithms)
	f.list("Clients", i.Clients)
	for _, algorithm := range i.Algorithms {
		if algorithm != "" && !jose.Supported(algorithm) {
			f.add("Algorithms: %q is not supported; choose among %s", algorithm, jose.Choices())
		}
	}
	if i.AlwaysIntrospect && i.Introspection == nil {
		f.add("AlwaysIntrospect asks the issuer about its JWTs; set Introspection as well")
	}
	if i.TokenPrefix != "" && i.Introspection == nil {
		f.add("TokenPrefix is for opaque tokens; set Introspection as well")
	}
	if named := i.introspectionIssuer(); named != "" && named != i.URL && !slices.Contains(i.Aliases, named) {
		f.add("Introspection is for the issuer %q, so answers about its tokens would count for this one; set introspection.Config.Issuer to URL, or add that issuer to Aliases if both are the same issuer", fetch.Redact(named))
	}
	if i.MaxAge < 0 || i.MaxLifetime < 0 {
		f.add("MaxAge is %v and MaxLifetime %v; expected positive durations, or zero for no limit", i.MaxAge, i.MaxLifetime)
	}
	f.demand(i.Demand)
	return append(f, i.profileFaults()...)
}

// profileFaults reports lists that the profile needs and the issuer lacks. They make
// up for what the profile relaxes.
func (i Issuer) profileFaults() (f faults) {
	p, isProfile := i.profile()
	if i.Dialect != nil {
		f = i.exclusionFaults()
	}
	if !isProfile {
		return slices.Concat(f, i.dialectFaults(), i.tenantFaults())
	}
	name := p.name()
	switch {
	case dialects[p] == nil:
		f.add("Profile %v is unknown; choose one of this package's", i.Profile)
		return f
	case i.Relax != (Relax{}) && p != RFC9068 && i.Dialect == nil:
		f.add("Relax is for the profile RFC9068; the profile %s cannot be relaxed further", name)
	}
	if i.Relax.Typ && i.Relax.JTI && i.Relax.ClientID && i.Clients == nil && i.Demand == nil && i.Accept == nil {
		f.add("Relax has Typ, JTI and ClientID, so an ID token could pass all other checks; set Clients, Demand or Accept as well")
	}
	if p.demandsClients() && i.Clients == nil {
		f.add("Clients is nil; the profile %s demands the client ids whose tokens are accepted", name)
	}
	if (p == Keycloak || p == WorkOS) && i.DangerouslyAcceptNoAudience && i.Clients == nil {
		f.add("Clients is nil; with DangerouslyAcceptNoAudience the profile %s demands the client ids whose tokens are accepted", name)
	}
	if p.namesNoClient() && i.Clients != nil {
		f.add("Clients is set, but tokens of the profile %s name no client; use Demand", name)
	}
	switch {
	case i.Demand != nil:
	case p.demandsClaims() != "":
		f.add("Demand is nil; the profile %s demands %s", name, p.demandsClaims())
	case p == Dex && i.Clients == nil:
		f.add("Clients and Demand are nil; any client of Dex can get a token, so the profile Dex demands one of them")
	}
	return append(f, i.tenantFaults()...)
}

// exclusionFaults reports what cannot be set beside a Dialect, because the Dialect says
// it.
func (i Issuer) exclusionFaults() (f faults) {
	if i.Profile != RFC9068 {
		f.add("Dialect and Profile exclude each other; set one of them, or start from accesstoken.%s.Dialect()", i.Profile.name())
	}
	if i.Relax != (Relax{}) {
		f.add("Dialect and Relax exclude each other; write Types, Optional and ScopeArray into the Dialect instead")
	}
	if i.DangerouslyAcceptNoAudience {
		f.add(`Dialect and DangerouslyAcceptNoAudience exclude each other; add "aud" to Dialect.Optional, and set Clients`)
	}
	return f
}

// dialectFaults reports what is wrong with a Dialect, and what the issuer lacks to make
// up for what it relaxes.
func (i Issuer) dialectFaults() (f faults) {
	rules, wrong := i.rules()
	for _, fault := range wrong {
		f.add("Dialect.%s", fault)
	}
	if rules.NoAudience && i.Clients == nil {
		f.add(`Dialect.Optional has "aud", so the tokens of every resource server would pass; set Clients to the client ids whose tokens are accepted`)
	}
	if i.Dialect.IDTokens && i.Clients == nil && i.Demand == nil {
		f.add("Dialect.IDTokens is set, and every client of the issuer can get an ID token; set Clients, or Demand with claims that only your callers have")
	}
	if rules.MayBeIDTokens && i.Clients == nil && i.Demand == nil && i.Accept == nil {
		f.add(`Dialect.Optional has "client_id", and neither Types nor Kind tells access tokens from ID tokens, so an ID token could pass; add a mark to Kind on a claim that only access tokens have, or set Clients, Demand or Accept`)
	}
	if rules.NoIssuedAt && i.MaxAge > 0 {
		f.add(`Dialect.Optional has "iat", from which MaxAge counts; set MaxLifetime instead, which then counts from now`)
	}
	return f
}

// checkKeySource reports a source that is a nil pointer, for example because
// jwks.NewCache failed, and the source's own faults if it has a method Err.
func checkKeySource(source KeySource) []error {
	if value := reflect.ValueOf(source); value.Kind() == reflect.Pointer && value.IsNil() {
		return []error{fmt.Errorf("the %T is nil; did its constructor fail?", source)}
	}
	checked, ok := source.(interface{ Err() error })
	if !ok || checked.Err() == nil {
		return nil
	}
	if several, ok := checked.Err().(interface{ Unwrap() []error }); ok {
		return several.Unwrap() // one line for each
	}
	return []error{checked.Err()}
}

// collisions reports settings that two issuers must not share.
func (i *Issuer) collisions(other *Issuer) (f faults) {
	if i.Name != "" && i.Name == other.Name {
		f.add("both have the Name %q, so the log could not tell them apart", i.Name)
	}
	if i.Keys != nil && reflect.TypeOf(i.Keys).Comparable() && i.Keys == other.Keys {
		f.add("both have the same Keys, so either could sign for the other; %s", i.insteadOfSharing(*other))
	}
	// An opaque token is sent to one issuer only, because any other issuer would
	// receive a live token that it did not issue.
	if i.Introspection != nil && other.Introspection != nil && i.sharesPrefix(other) {
		f.add("both have Introspection, and TokenPrefix %q and %q do not tell their tokens apart", other.TokenPrefix, i.TokenPrefix)
	}
	return f
}

// sharesPrefix reports whether an opaque token can begin with the TokenPrefix of both.
func (i *Issuer) sharesPrefix(other *Issuer) bool {
	return strings.HasPrefix(i.TokenPrefix, other.TokenPrefix) || strings.HasPrefix(other.TokenPrefix, i.TokenPrefix)
}

// insteadOfSharing advises how two issuers can avoid sharing one KeySource.
func (i Issuer) insteadOfSharing(other Issuer) string {
	if i.isEntra() && other.isEntra() {
		return "for several tenants of Entra ID list them as Tenants of one Issuer, or give each the keys that jwks.Cache.For returns"
	}
	return "if they are one issuer under two names, keep one Issuer and add the other's URL to its Aliases; if not, give each its own Keys"
}
