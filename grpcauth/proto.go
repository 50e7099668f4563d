package grpcauth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/grpcauth/policypb"
	"github.com/accesstoken/accesstoken/scopes"
)

// addServices adds the rules that the .proto files of the services declare.
func (a *Interceptors) addServices(names []string) (faults []error) {
	for i, name := range names {
		service, err := registeredService(name)
		switch {
		case slices.Contains(names[:i], name):
			faults = append(faults, fmt.Errorf("grpcauth: Services has %q twice", name))
		case err != nil:
			faults = append(faults, fmt.Errorf("grpcauth: Services: %w", err))
		default:
			faults = append(faults, a.addService(service)...)
		}
	}
	return faults
}

func (a *Interceptors) addService(service protoreflect.ServiceDescriptor) (faults []error) {
	prefix := "/" + string(service.FullName()) + "/"
	if _, whole := a.rules[prefix]; whole { // a rule for the whole service would open methods without the option
		faults = append(faults, fmt.Errorf("grpcauth: Services has %q, whose .proto has the rule of each method: remove Methods[%q]", service.FullName(), prefix+"*"))
	}
	methods := service.Methods()
	for i := range methods.Len() {
		if err := a.addDeclared(prefix+string(methods.Get(i).Name()), methods.Get(i)); err != nil {
			faults = append(faults, err)
		}
	}
	return faults
}

// addDeclared adds the rule that a method has in its .proto. If the .proto has no
// rule, the Options must have one. If the .proto has a rule, the Options must not
// have one too, because a reader of either could take the wrong rule for the one that
// applies.
func (a *Interceptors) addDeclared(method string, descriptor protoreflect.MethodDescriptor) error {
	declared, err := optionOf(descriptor)
	_, ruled := a.rules[method]
	switch {
	case err != nil:
		return fmt.Errorf("grpcauth: %s: %w", method, err)
	case declared == nil && ruled:
		return nil
	case declared == nil:
		return fmt.Errorf("grpcauth: %s has no rule: %s", method, remedy)
	case ruled:
		return fmt.Errorf("grpcauth: %q has two rules: that of its .proto, and one in Methods or Public", method)
	}
	found, err := ruleOf(declared)
	if err == nil && !found.public {
		err = a.validator.PolicyErr(found.policy)
	}
	if err != nil {
		return fmt.Errorf("grpcauth: %s: option (accesstoken.v1.policy): %w", method, err)
	}
	a.rules[method] = found
	return nil
}

// remedy tells the operator how to give a method a rule.
const remedy = `write, for instance, option (accesstoken.v1.policy).all_scopes = "..." in its .proto, or list it in Methods or Public`

// policyType resolves our option and no other.
var policyType = func() *protoregistry.Types {
	types := new(protoregistry.Types)
	if err := types.RegisterExtension(policypb.E_Policy); err != nil {
		panic(err) // impossible: the registry is empty
	}
	return types
}()

// optionOf returns the option of a method, or nil if it has no option. The options
// are decoded from their bytes, because a descriptor that was made at run time may
// not know our type.
func optionOf(method protoreflect.MethodDescriptor) (*policypb.Policy, error) {
	text, err := proto.MarshalOptions{AllowPartial: true}.Marshal(method.Options())
	if err != nil {
		return nil, errors.New("its options cannot be read")
	}
	options := new(descriptorpb.MethodOptions)
	if err := (proto.UnmarshalOptions{AllowPartial: true, Resolver: policyType}).Unmarshal(text, options); err != nil {
		return nil, errors.New("its options cannot be read")
	}
	if !proto.HasExtension(options, policypb.E_Policy) {
		return nil, nil
	}
	return proto.GetExtension(options, policypb.E_Policy).(*policypb.Policy), nil
}

// ruleOf turns the option into a rule. It rejects unknown fields, contradictions, and
// an option that allows no caller.
func ruleOf(p *policypb.Policy) (rule, error) {
	scoped := len(p.GetAllScopes())+len(p.GetAnyScopes()) > 0
	switch {
	case hasUnknown(p.ProtoReflect()):
		return rule{}, errors.New("the option has a field that this version of grpcauth does not know: update the module")
	case !scoped && !p.GetAnyToken() && !p.GetPublic():
		return rule{}, errors.New("the option allows no caller: set all_scopes, any_scopes, any_token or public")
	case scoped && p.GetAnyToken():
		return rule{}, errors.New("any_token contradicts all_scopes and any_scopes")
	case p.GetPublic() && !proto.Equal(p, &policypb.Policy{Public: true}):
		return rule{}, errors.New("public contradicts every other field")
	case p.GetPublic():
		return rule{public: true}, nil
	case p.MaxAge != nil && p.GetMaxAge() == 0:
		return rule{}, errors.New("max_age is 0, so that no login satisfies it; expected seconds, or no max_age for no demand")
	}
	return rule{policy: policyOf(p)}, nil
}

// hasUnknown reports whether the option, or a message in it, has a field that is not in
// the .proto of this version.
func hasUnknown(m protoreflect.Message) bool {
	unknown := len(m.GetUnknown()) > 0
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if field.Message() != nil { // all of them are lists
			for i := range value.List().Len() {
				unknown = unknown || hasUnknown(value.List().Get(i).Message())
			}
		}
		return true
	})
	return unknown
}

// policyOf returns the demands of the option.
func policyOf(p *policypb.Policy) accesstoken.Policy {
	policy := accesstoken.Policy{
		Scopes:             requirementOf(p),
		FreshIntrospection: p.GetFreshIntrospection(),
		SenderConstrained:  p.GetSenderConstrained(),
		SPIFFEIDs:          p.GetSpiffeIds(),
		RefuseDelegated:    p.GetRefuseDelegated(),
		ACR:                p.GetAcrValues(),
		MaxAuthAge:         time.Duration(p.GetMaxAge()) * time.Second,
		AMR:                p.GetAmr(),
	}
	for _, actor := range p.GetActors() {
		policy.Actors = append(policy.Actors, accesstoken.Actor{Issuer: actor.GetIss(), Subject: actor.GetSub(), ClientID: actor.GetClientId()})
	}
	for _, d := range p.GetAuthorizationDetails() {
		policy.Details = append(policy.Details, accesstoken.DetailRequirement{
			Type: d.GetType(), Actions: d.GetActions(), DataTypes: d.GetDatatypes(), Privileges: d.GetPrivileges(),
			Location: d.GetLocation(), Identifier: d.GetIdentifier(),
		})
	}
	return policy
}

func requirementOf(p *policypb.Policy) scopes.Requirement {
	all, either := p.GetAllScopes(), p.GetAnyScopes()
	switch {
	case p.GetAnyToken():
		return scopes.None()
	case len(either) == 0:
		return scopes.All(all...)
	case len(all) == 0:
		return scopes.Any(either...)
	}
	return scopes.All(all...).And(scopes.Any(either...))
}

// registeredService returns the descriptor of a service whose generated code is in
// the program.
func registeredService(name string) (protoreflect.ServiceDescriptor, error) {
	found, _ := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name)) // nil if not found
	if service, ok := found.(protoreflect.ServiceDescriptor); ok {
		return service, nil
	}
	return nil, fmt.Errorf("there is no %q in protoregistry.GlobalFiles, only %s", name, strings.Join(registeredNames(name), ", "))
}

// registeredNames suggests services for a wrong name: the services with the same last
// word or the same package, or else all. It names at most ten, and counts the others.
func registeredNames(name string) (near []string) {
	const many = 10
	var all []string
	wanted := protoreflect.FullName(strings.Trim(name, "/*"))
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i).FullName()
			all = append(all, string(service))
			if strings.EqualFold(string(service.Name()), string(wanted.Name())) || service.Parent() == wanted.Parent() {
				near = append(near, string(service))
			}
		}
		return true
	})
	if len(near) == 0 {
		near = all
	}
	slices.Sort(near)
	if len(near) > many {
		near = append(near[:many], fmt.Sprintf("and %d more", len(near)-many))
	}
	return near
}
