package accesstokentest

import (
	"encoding/json"
	"slices"

	"github.com/accesstoken/accesstoken"
)

// UnlistedScopes returns the scopes that the policies of your routes demand, and that
// scopes_supported in the metadata of the Validator (RFC 9728 §2) does not list. They are
// sorted. A difference is legal: you may not want every client to ask for a scope. But it is
// often a slip, so you can compare the result with the scopes that you leave out on purpose.
// Without Config.Metadata nothing is listed.
func UnlistedScopes(v *accesstoken.Validator, policies ...accesstoken.Policy) []string {
	var metadata struct {
		Scopes []string `json:"scopes_supported"`
	}
	if _, document := v.ResourceMetadata(); document != nil {
		_ = json.Unmarshal(document, &metadata) // the Validator made it
	}
	var unlisted []string
	for _, policy := range policies {
		for scope := range policy.Scopes.Scopes().All() {
			if !slices.Contains(metadata.Scopes, scope) {
				unlisted = append(unlisted, scope)
			}
		}
	}
	slices.Sort(unlisted)
	return slices.Compact(unlisted)
}
