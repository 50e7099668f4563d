package accesstoken

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// What is sent to a client whose authorization_details are not enough, by
// draft-ietf-oauth-rar-metadata-remediation-00 §4.

const (
	longestRemediation = 4 << 10 // bytes, as it is sent
	leastReferenceKey  = 32      // bytes
	referenceSize      = 16      // bytes
)

// remediationFaults reports what is wrong with the settings of the draft.
func (c Config) remediationFaults() (f faults) {
	if c.DraftRARMetadataRemediation && c.DetailTypes == nil {
		f.add("DraftRARMetadataRemediation has no effect without DetailTypes; list the types that this resource server knows")
	}
	if c.DraftRARMetadataRemediation && c.TokenField != "" {
		f.add("DraftRARMetadataRemediation and TokenField exclude each other, because it is a proxy that sends the token, and it cannot request another")
	}
	if c.DraftRARReferenceKey != nil && !c.DraftRARMetadataRemediation {
		f.add("DraftRARReferenceKey has no effect without DraftRARMetadataRemediation; set both")
	}
	if c.DraftRARReferenceKey != nil && len(c.DraftRARReferenceKey) < leastReferenceKey {
		f.add("DraftRARReferenceKey has %d bytes; expected at least %d random bytes, or nil for no references", len(c.DraftRARReferenceKey), leastReferenceKey)
	}
	return f
}

// remediation returns authorization_remediation for a refusal, or "". It has nothing of the
// token: the objects are from the handler or, if it gave none, from the policy. Only a
// caller gets it whose token was found good and ours.
func (v *Validator) remediation(refused *Error, policy Policy, caller Claims) string {
	if v.face == nil || !v.face.remediate || !v.hasToken(caller) {
		return ""
	}
	wanted := refused.wanted
	if wanted == nil {
		wanted = policy.wantedDetails()
	}
	if wanted == nil {
		return ""
	}
	text, err := v.writeRemediation(wanted)
	if err != nil && v.warnings.isNew(err.Error()) {
		v.logger.Warn("accesstoken: left authorization_remediation out of a challenge (logged once per cause)",
			"cause", err.Error(), "see", AuthorizationDetailsInsufficient.page())
	}
	return text
}

// hasToken reports whether claims come from a token that v accepts. Those of an [Identity]
// do not, and neither do those of another Validator.
func (v *Validator) hasToken(caller Claims) bool {
	return caller.facts != nil && caller.facts.issuer.by == nil && caller.facts.issuer.isOf(v)
}

// wantedDetails returns the objects that satisfy the whole policy, whatever the token has.
func (p Policy) wantedDetails() (objects []json.RawMessage) {
	for n := range p.Details {
		r := &p.Details[n]
		object := map[string]any{"type": r.Type}
		for name, list := range map[string][]string{"actions": r.Actions, "datatypes": r.DataTypes, "privileges": r.Privileges} {
			if list != nil {
				object[name] = list
			}
		}
		if r.Location != "" {
			object["locations"] = []string{r.Location}
		}
		if r.Identifier != "" {
			object["identifier"] = r.Identifier
		}
		objects = append(objects, encode(object))
	}
	return objects
}

// writeRemediation returns the objects in the form of the draft. Its errors are fixed texts.
func (v *Validator) writeRemediation(wanted []json.RawMessage) (string, error) {
	content := map[string]any{"authorization_details": wanted}
	hasReference := v.config.DraftRARReferenceKey != nil
	for _, object := range wanted {
		var detail AuthorizationDetail
		if err := decode(object, &detail); err != nil || detail.Type == "" {
			return "", errors.New("DetailsInsufficient was called with a value that is not an object of authorization_details (RFC 9396 §2)")
		}
		of, ok := v.config.DetailTypes[detail.Type]
		if !ok {
			return "", errors.New("DetailsInsufficient was called with an object whose type is not among Config.DetailTypes")
		}
		hasReference = hasReference && !of.NoReference
	}
	if hasReference {
		content["authorization_reference"] = v.reference(wanted)
	}
	text := base64.RawURLEncoding.EncodeToString(encode(content))
	if len(text) > longestRemediation {
		return "", errors.New("authorization_remediation would have more than 4096 bytes; ask for less, or name the data by an identifier")
	}
	return text, nil
}

// reference returns a keyed hash of the objects. Equal objects have the same one, whatever
// their order, and that of their members.
func (v *Validator) reference(wanted []json.RawMessage) string {
	var canonical []string
	for _, object := range wanted {
		canonical = append(canonical, jose.Canonical(object))
	}
	slices.Sort(canonical)
	hash := hmac.New(sha256.New, v.config.DraftRARReferenceKey)
	hash.Write(encode(map[string]any{"resource": v.resource(), "details": canonical}))
	return base64.RawURLEncoding.EncodeToString(hash.Sum(nil)[:referenceSize])
}
