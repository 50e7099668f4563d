package accesstoken

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// detailMembers are those that AbsentIsAny can list.
var detailMembers = []string{"actions", "datatypes", "privileges", "locations", "identifier"}

// Limits of authorization_details in a token.
const (
	mostDetails       = 64
	longestDetailType = 256 // bytes
)

// details reports what is wrong with DetailTypes.
func (f *faults) details(types map[string]DetailType) {
	if types != nil && len(types) == 0 {
		f.add("DetailTypes is set but empty; leave it nil for none")
	}
	for _, name := range slices.Sorted(maps.Keys(types)) {
		if name == "" || len(name) > longestDetailType {
			f.add("DetailTypes has a type of %d bytes; expected 1 to %d", len(name), longestDetailType)
		}
		f.list(fmt.Sprintf("DetailTypes[%q].AbsentIsAny", name), types[name].AbsentIsAny)
		for _, member := range types[name].AbsentIsAny {
			if member != "" && !slices.Contains(detailMembers, member) {
				f.add("DetailTypes[%q].AbsentIsAny has %q; expected one of %v", name, member, detailMembers)
			}
		}
	}
}

// detailTypesErr reports a requirement whose type is not configured, so that it is not known
// what its members mean.
func (f *family) detailTypesErr(p Policy) error {
	if err := p.detailsErr(); err != nil {
		return err
	}
	for n := range p.Details {
		if _, ok := f.config.DetailTypes[p.Details[n].Type]; !ok {
			return fmt.Errorf("accesstoken: Details[%d]: the type %q is not among Config.DetailTypes; add it there", n, p.Details[n].Type)
		}
	}
	return nil
}

// checkDetails checks authorization_details. If they are malformed, nothing is granted by
// halves: the token is refused.
func (f *family) checkDetails(c Claims, p Policy) error {
	if err := f.detailTypesErr(p); err != nil {
		return wrapError(ResourceServerMisconfigured, err)
	}
	granted := c.readDetails()
	if granted.err != nil {
		return wrapError(ClaimInvalid, granted.err)
	}
	for n := range p.Details {
		wanted := &p.Details[n]
		of := f.config.DetailTypes[wanted.Type]
		if !slices.ContainsFunc(granted.list, func(d AuthorizationDetail) bool { return wanted.isMetBy(&d, of) }) {
			return refusal(AuthorizationDetailsInsufficient, "the token has no object of authorization_details for Details["+fmt.Sprint(n)+"] of the policy")
		}
	}
	return nil
}

// readDetails are authorization_details that a policy has asked for.
type readDetails struct {
	list []AuthorizationDetail
	err  error
}

// readDetails returns the authorization_details, read once for each token.
func (c Claims) readDetails() *readDetails {
	if c.facts.details == nil {
		return new(readDetails)
	}
	if held, ok := c.facts.details.read.Load().(*readDetails); ok {
		return held
	}
	found := new(readDetails)
	if found.list, found.err = c.AuthorizationDetails(); found.err == nil {
		found.err = detailLimits(found.list)
	}
	if found.err != nil {
		found.list, found.err = nil, errors.New("authorization_details is not an array of at most 64 objects, each with a type of at most 256 bytes (RFC 9396 §2)")
	}
	for n := range found.list {
		d := &found.list[n]
		d.voided, d.raw = voided(d.raw), nil // only a policy reads them
	}
	c.facts.details.read.Store(found)
	return found
}

// voided returns the members of an object that are null or "", which is not the same as
// absent: a client may have asked for just that.
func voided(object []byte) (members []string) {
	err := jose.Object(string(object), func(name, value string) error {
		if at := slices.Index(detailMembers, name); at >= 0 && (value == "null" || value == `""`) {
			members = append(members, detailMembers[at]) // name would keep the whole object alive
		}
		return nil
	})
	if err != nil { // more than 256 members
		return detailMembers
	}
	return members
}

func detailLimits(list []AuthorizationDetail) error {
	if len(list) > mostDetails || slices.ContainsFunc(list, func(d AuthorizationDetail) bool { return len(d.Type) > longestDetailType }) {
		return errors.New("too many")
	}
	return nil
}

// isMetBy reports whether one object satisfies the whole requirement.
func (r *DetailRequirement) isMetBy(d *AuthorizationDetail, of DetailType) bool {
	isAny := func(member string, isZero bool) bool {
		return isZero && slices.Contains(of.AbsentIsAny, member) && !slices.Contains(d.voided, member)
	}
	hasAll := func(member string, granted, wanted []string) bool {
		return isAny(member, granted == nil) || !slices.ContainsFunc(wanted, func(one string) bool { return !slices.Contains(granted, one) })
	}
	isAt := func(granted string) bool {
		above := strings.TrimSuffix(granted, "/")
		isBelow := above != "" && !strings.HasSuffix(above, "/") && !strings.HasSuffix(above, ":") && strings.HasPrefix(r.Location, above+"/")
		return granted == r.Location || of.LocationsBelow && isBelow
	}
	return d.Type == r.Type &&
		hasAll("actions", d.Actions, r.Actions) && hasAll("datatypes", d.DataTypes, r.DataTypes) && hasAll("privileges", d.Privileges, r.Privileges) &&
		(r.Location == "" || isAny("locations", d.Locations == nil) || slices.ContainsFunc(d.Locations, isAt)) &&
		(r.Identifier == "" || isAny("identifier", d.Identifier == "") || d.Identifier == r.Identifier)
}

// DetailsInsufficient returns a refusal for a handler that finds, once it has read the
// request, that the authorization_details of the token are not enough for it, for example
// for the amount of a payment. The response is the same as if [Policy].Details had not been
// met: 403 with insufficient_scope, PERMISSION_DENIED on gRPC. (RFC 9396 defines no error
// for resource servers.)
//
// wanted are the objects that would do, each with a type, in any form that encoding/json can
// write. With Config.DraftRARMetadataRemediation the client gets them, and so requests a
// token with them, in place of the token that it has. They should have no secrets.
func DetailsInsufficient(wanted ...any) *Error {
	refused := refusal(AuthorizationDetailsInsufficient, fmt.Sprintf("the handler demands %d more objects of authorization_details", len(wanted)))
	for _, object := range wanted {
		text, _ := json.Marshal(object) // if it cannot be written, it is no object, and none is sent
		refused.wanted = append(refused.wanted, text)
	}
	return refused
}
