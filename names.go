package accesstoken

import (
	"net/url"
	"slices"
	"strings"

	"github.com/accesstoken/accesstoken/internal/fetch"
)

// urlFaults reports faults in URL, MetadataURL and JWKSURI. If nothing is fetched
// from URL, it is only compared with iss, so plain http is safe there.
func (i Issuer) urlFaults() (f faults) {
	check := func(field, raw string, allowHTTP bool) {
		if err := fetch.CheckURL(raw, allowHTTP); err != nil {
			f.add("%s: %w", field, err)
		}
	}
	switch {
	case i.URL == "":
		f.add("URL: the URL is empty; set it to the issuer identifier, exactly as iss has it")
	case isDocument(i.URL):
		f.add("URL is the address of a document; expected the issuer identifier, %s", insteadOfDocument(i.URL))
	case i.isTrustDomain(): // see spiffeFaults
	case i.Keys != nil || i.JWKSURI != "":
		if hasUser(i.URL) {
			f.add("URL: %q must not carry user information", fetch.Redact(i.URL))
		}
	default:
		check("URL", i.URL, i.DangerouslyAllowHTTP || i.MetadataURL != "")
		if strings.Contains(i.URL, "?") {
			f.add("URL has a query; an issuer identifier has none (RFC 8414 §2)")
		}
	}
	if i.MetadataURL != "" {
		check("MetadataURL", i.MetadataURL, i.DangerouslyAllowHTTP)
	}
	if i.JWKSURI != "" {
		check("JWKSURI", i.JWKSURI, i.DangerouslyAllowHTTP)
	}
	return f
}

// aliasFaults reports faults in Aliases, without regard to other issuers.
func (i Issuer) aliasFaults() (f faults) {
	f.list("Aliases", i.Aliases)
	for n, alias := range i.Aliases {
		switch {
		case hasUser(alias):
			f.add("Aliases[%d]: %q must not carry user information", n, fetch.Redact(alias))
		case isDocument(alias):
			f.add("Aliases[%d] is the address of a document; expected the issuer identifier, %s", n, insteadOfDocument(alias))
		case alias == i.URL || slices.Contains(i.Aliases[:n], alias):
			f.add("Aliases[%d] is %q, a duplicate of URL or of an earlier alias; remove it", n, fetch.Redact(alias))
		case alias != "" && strings.Contains(alias, anyTenant) != strings.Contains(i.URL, anyTenant):
			f.add("Aliases[%d]: %s has to be in URL and in every alias, or in none of them", n, anyTenant)
		}
	}
	return f
}

// hasUser reports whether a URL has user information. If the URL cannot be parsed,
// it returns false, because [fetch.Redact] prints no part of such a URL.
func hasUser(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && u.User != nil
}

const wellKnown = "/.well-known/"

// isDocument reports an address below /.well-known/ (RFC 8615), which is never an
// issuer identifier.
func isDocument(address string) bool { return strings.Contains(address, wellKnown) }

// insteadOfDocument returns the end of an error message: what to write instead of an
// address below /.well-known/. For a metadata document it names the identifier from which
// the document is found (RFC 8414 §3.1, §5, OpenID Connect Discovery §4.1). For any other
// document, such as a key set, it points to iss and JWKSURI.
func insteadOfDocument(address string) string {
	const which = "exactly as the document's member issuer has it"
	before, after, _ := strings.Cut(address, wellKnown)
	for _, name := range []string{"openid-configuration", "oauth-authorization-server"} {
		path, ok := strings.CutPrefix(after, name)
		if ok && (path == "" || strings.HasPrefix(path, "/")) {
			return which + ", such as \"" + fetch.Redact(before+path) + "\"; set MetadataURL as well if the document is not found from there"
		}
	}
	return "exactly as iss in its tokens has it; the address of a key set belongs in JWKSURI"
}

// label returns the issuer's name in logs.
func (i Issuer) label() string {
	switch {
	case i.Name != "":
		return i.Name
	case hostOf(i.URL) != "":
		return hostOf(i.URL)
	}
	return i.URL
}

// introspectionIssuer returns the issuer that the introspection client is for, or ""
// if the client does not say.
func (i Issuer) introspectionIssuer() string {
	if i.Introspection == nil {
		return ""
	}
	return i.Introspection.Issuer()
}

// nearly returns an issuer identifier in lower case without its scheme and final
// slashes. If an unknown iss and a configured URL differ only in these, the log says
// so; the token is still refused.
func nearly(iss string) string {
	_, rest, found := strings.Cut(iss, "://")
	if !found {
		rest = iss
	}
	return strings.ToLower(strings.TrimRight(rest, "/"))
}
