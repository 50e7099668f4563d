package accesstoken

import (
	"slices"
	"strings"
	"time"
)

const (
	longestSPIFFEID    = 2048 // bytes (SPIFFE-ID §2.3)
	longestTrustDomain = 255  // bytes (SPIFFE-ID §2.3)

	// spiffeLifetime is the MaxLifetime of a trust domain if it is unset. JWT-SVIDs are
	// bearer tokens of a few minutes, and nothing revokes them earlier.
	spiffeLifetime = time.Hour
)

// spiffeAlgorithms are those of JWT-SVID §2.1.
var spiffeAlgorithms = []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"}

// isTrustDomain reports whether the issuer is a SPIFFE trust domain, by its URL. Then a
// token's sub finds it, and every sub must be an ID of the domain, with any Dialect.
func (i Issuer) isTrustDomain() bool { return strings.HasPrefix(i.URL, spiffeScheme) }

// ownAlgorithms returns the algorithms of a trust domain that lists none. For other issuers
// it returns nil.
func (i Issuer) ownAlgorithms() []string {
	if i.isTrustDomain() {
		return spiffeAlgorithms
	}
	return nil
}

// longestLifetime returns MaxLifetime, or its default.
func (i Issuer) longestLifetime() time.Duration {
	if i.isTrustDomain() && i.MaxLifetime == 0 {
		return spiffeLifetime
	}
	return i.MaxLifetime
}

// trustDomainOf returns the part of a workload's SPIFFE ID that names its trust domain,
// such as "spiffe://example.org". It is "" if the text is not such an ID (SPIFFE-ID §2).
// The ID of a trust domain itself has no path, and no workload has it.
func trustDomainOf(id string) string {
	rest, isSPIFFE := strings.CutPrefix(id, spiffeScheme)
	name, path, _ := strings.Cut(rest, "/")
	if !isSPIFFE || len(id) > longestSPIFFEID || !isTrustDomainName(name) {
		return ""
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." || strings.ContainsFunc(segment, isNotInPath) {
			return ""
		}
	}
	return id[:len(spiffeScheme)+len(name)]
}

func isTrustDomainName(name string) bool {
	return name != "" && len(name) <= longestTrustDomain && !strings.ContainsFunc(name, func(c rune) bool {
		return isNotInPath(c) || c >= 'A' && c <= 'Z'
	})
}

func isNotInPath(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_'
}

// spiffeFaults reports faults in the settings of a trust domain.
func (i Issuer) spiffeFaults() (f faults) {
	p, isProfile := i.profile()
	switch {
	case !i.isTrustDomain():
		if isProfile && p == SPIFFE {
			f.add("URL is not a SPIFFE trust domain; write it as \"spiffe://example.org\"")
		}
		return f
	case !isTrustDomainName(strings.TrimPrefix(i.URL, spiffeScheme)):
		f.add("URL: expected spiffe:// and the name of a trust domain, in lower case and without path, such as \"spiffe://example.org\"")
	case i.Keys == nil:
		f.add("Keys is nil; the keys of a trust domain are in its bundle: set Keys to what package integrations/spiffeauth or jwks.ReadBundle returns")
	}
	if isProfile && p != SPIFFE {
		f.add("URL is a SPIFFE trust domain, and the profile is %s; set Profile: accesstoken.SPIFFE", p.name())
	}
	if i.Introspection != nil {
		f.add("Introspection is set, but a trust domain has no introspection endpoint; leave it nil")
	}
	if i.DangerouslyAcceptNoAudience {
		f.add("DangerouslyAcceptNoAudience is set, but every JWT-SVID has aud, so that no other service can use it here; leave it unset")
	}
	if rules, _ := i.rules(); rules.NoAudience {
		f.add(`Dialect.Optional has "aud", but every JWT-SVID has aud, so that no other service can use it here; remove it`)
	}
	if isProfile && i.MaxAge > 0 {
		f.add("MaxAge counts from iat, which a JWT-SVID may lack; set MaxLifetime instead, which then counts from now")
	}
	return f
}

// below ends a pattern for all IDs below a path. It cannot be in a SPIFFE ID.
const below = "/*"

// isSPIFFEPattern reports whether a text can be in Policy.SPIFFEIDs. Before /* there must
// be a path, because a pattern for a whole trust domain accepts more than its author
// can know.
func isSPIFFEPattern(text string) bool { return trustDomainOf(strings.TrimSuffix(text, below)) != "" }

// covers reports whether a pattern accepts an ID, or all that another pattern accepts.
func covers(pattern, id string) bool {
	path, isPrefix := strings.CutSuffix(pattern, below)
	return pattern == id || isPrefix && strings.HasPrefix(id, path+"/")
}

// commonIDs returns what two lists of patterns both accept. nil accepts every token, so
// the result of lists that have nothing in common is empty and not nil.
func commonIDs(a, b []string) []string {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	common := []string{}
	for _, one := range a {
		for _, other := range b {
			switch {
			case covers(one, other):
				common = append(common, other)
			case covers(other, one):
				common = append(common, one)
			}
		}
	}
	slices.Sort(common)
	return slices.Compact(common)
}
