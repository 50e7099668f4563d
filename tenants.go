package accesstoken

import (
	"net/url"
	"slices"
	"strings"

	"github.com/accesstoken/accesstoken/jwks"
)

// anyTenant stands for the tenant in Entra ID's metadata of several tenants, and
// in the URL of an Issuer with several Tenants.
const anyTenant = "{tenantid}"

// tenantFaults reports faults in the settings of Entra ID, and such settings on
// other issuers.
func (i Issuer) tenantFaults() (f faults) {
	template := strings.Contains(i.URL, anyTenant)
	if rules, _ := i.rules(); !rules.IsEntra {
		switch {
		case rules.HasTenant && i.Tenants == nil && i.Dialect == nil:
			f.add("Tenants is nil; the profile %s demands the tenant ids (tid) whose tokens are accepted", i.Profile.name())
		case rules.HasTenant && i.Tenants == nil:
			f.add("Tenants is nil, and Dialect.Tenant says where the tokens name theirs; list the tenants whose tokens are accepted")
		case rules.HasTenant:
			f.list("Tenants", i.Tenants)
		case i.Tenants != nil:
			f.add("Tenants is for the profiles of Entra ID and FusionAuth, and for a Dialect with Tenant")
		}
		if template {
			f.add("URL has %s, which is for the profiles of Entra ID; write the issuer's own URL", anyTenant)
		}
		return f
	}
	f.list("Tenants", i.Tenants)
	switch named := i.tenantInURL(); {
	case i.tenants() == nil:
		f.add("Tenants is nil, and URL names no tenant; list the tenant ids (tid) whose tokens are accepted")
	case slices.ContainsFunc(i.tenants(), isNoTenant):
		f.add("Tenants: expected tenant ids (GUIDs in lower case), because tid never holds a domain name; for several tenants write %s in URL", anyTenant)
	case named != "" && !slices.Contains(i.tenants(), named):
		f.add("Tenants does not have %q, the tenant in URL, so no token could be accepted; for several tenants write %s in URL", named, anyTenant)
	case len(slices.Compact(slices.Sorted(slices.Values(i.Tenants)))) < len(i.Tenants):
		f.add("Tenants lists a tenant twice; remove the duplicate")
	}
	if template && i.MetadataURL == "" && i.JWKSURI == "" && i.Keys == nil {
		f.add("MetadataURL is empty; with %s in URL set it to the metadata of several tenants: "+
			"https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration, or organizations in place of common", anyTenant)
	}
	if i.Introspection != nil {
		f.add("Introspection is set, but Entra ID has no introspection endpoint; leave it nil")
	}
	return f
}

// isEntra reports whether the tokens are those of Entra ID, which names the tenant in
// URL as well.
func (i Issuer) isEntra() bool {
	rules, _ := i.rules()
	return rules.IsEntra
}

func isNoTenant(tenant string) bool {
	return slices.Contains([]string{"common", "organizations", "consumers"}, tenant) ||
		strings.ContainsFunc(tenant, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' })
}

// tenants returns the listed tenants or, if Tenants is nil, the tenant in URL.
func (i Issuer) tenants() []string {
	if named := i.tenantInURL(); i.Tenants == nil && named != "" {
		return []string{named}
	}
	return i.Tenants
}

// tenantInURL returns the first element of URL's path. If URL has {tenantid} or no
// path, it returns "".
func (i Issuer) tenantInURL() string {
	u, err := url.Parse(i.URL)
	if err != nil || strings.Contains(i.URL, anyTenant) {
		return ""
	}
	tenant, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	return tenant
}

// An identity is one iss, with its other spellings and the tenants (tid) that go
// with it.
type identity struct {
	url     string
	aliases []string
	tenants []string // nil if tid is not checked
}

// spellings returns every text that iss may be.
func (id identity) spellings() []string { return append([]string{id.url}, id.aliases...) }

// identities returns what iss may be: URL with its Aliases or, if URL has
// {tenantid}, one identity for each of the Tenants.
func (i Issuer) identities() (all []identity) {
	aliases := i.Aliases
	p, isProfile := i.profile()
	switch {
	case isProfile && p == Google:
		return []identity{{i.URL, slices.Concat(aliases, []string{strings.TrimPrefix(i.URL, "https://")}), nil}}
	case !i.isEntra():
		return []identity{{i.URL, aliases, i.Tenants}}
	case !strings.Contains(i.URL, anyTenant):
		return []identity{{i.URL, aliases, i.tenants()}}
	}
	for _, tenant := range i.Tenants {
		of := func(spelling string) string { return strings.ReplaceAll(spelling, anyTenant, tenant) }
		id := identity{url: of(i.URL), tenants: []string{tenant}}
		for _, alias := range aliases {
			id.aliases = append(id.aliases, of(alias))
		}
		all = append(all, id)
	}
	return all
}

// keysOf returns a source of the keys that may sign for one identity, or keys itself
// if they cannot be separated. Entra ID publishes the keys of all tenants in one
// document, where a member of each key names its issuer. That member names the
// issuer of version 2.0 even if the key signs tokens of version 1.0.
func (i Issuer) keysOf(id identity, keys KeySource) KeySource {
	cache, ok := keys.(interface{ For(...string) *jwks.View })
	if !ok || !i.isEntra() {
		return keys
	}
	spellings := append(id.spellings(), i.URL)
	for _, host := range slices.Concat(entraHosts, []string{hostOf(i.MetadataURL), hostOf(i.JWKSURI), hostOf(i.URL)}) {
		for _, tenant := range append([]string{anyTenant}, id.tenants...) {
			spellings = append(spellings, "https://"+host+"/"+tenant+"/v2.0")
		}
	}
	return cache.For(spellings...)
}

// entraHosts are the hosts where Entra ID issues tokens of version 2.0, one for each
// cloud.
var entraHosts = []string{"login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn"}

func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Host
}
