package grpcauth_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/grpcauth/policypb"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/introspection"
)

// A declaration is a method in a .proto, with the policy that its option has; nil
// for none.
type declaration struct {
	method string
	policy *policypb.Policy
}

// packages is how many there are already: the registry forgets none.
var packages atomic.Int32

// declare registers the descriptor of a service Files with these methods, in a
// package of its own, and returns the service's full name. The options are as
// represent leaves them; nil leaves them as generated code has them.
func declare(t testing.TB, represent func(*descriptorpb.MethodOptions) *descriptorpb.MethodOptions, methods ...declaration) string {
	t.Helper()
	pkg := fmt.Sprintf("declared%d", packages.Add(1))
	service := &descriptorpb.ServiceDescriptorProto{Name: proto.String("Files")}
	for _, m := range methods {
		options := new(descriptorpb.MethodOptions)
		if m.policy != nil {
			proto.SetExtension(options, policypb.E_Policy, m.policy)
		}
		if represent != nil {
			options = represent(options)
		}
		service.Method = append(service.Method, &descriptorpb.MethodDescriptorProto{
			Name: proto.String(m.method), InputType: proto.String(".google.protobuf.DescriptorProto"), OutputType: proto.String(".google.protobuf.DescriptorProto"), Options: options,
		})
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String(pkg + ".proto"), Package: proto.String(pkg), Dependency: []string{"google/protobuf/descriptor.proto"},
		Service: []*descriptorpb.ServiceDescriptorProto{service},
	}, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	if err := protoregistry.GlobalFiles.RegisterFile(file); err != nil {
		t.Fatal(err)
	}
	return pkg + ".Files"
}

// invoke calls a method behind the interceptors, with the authorization values,
// and reports whether it ran.
func invoke(t testing.TB, auth *grpcauth.Interceptors, method string, authorization ...string) (ran bool, err error) {
	t.Helper()
	ctx := metadata.NewIncomingContext(t.Context(), metadata.MD{"authorization": authorization})
	_, err = auth.UnaryInterceptor(ctx, nil, &grpc.UnaryServerInfo{FullMethod: method}, func(context.Context, any) (any, error) {
		ran = true
		return nil, nil
	})
	return ran, err
}

// TestTheProtoIsThePolicy: what an option says is what a call meets, however the
// descriptor holds the option (GRPC-04, GRPC-05).
func TestTheProtoIsThePolicy(t *testing.T) {
	v := testkit.NewValidator(t, as, nil)
	for form, represent := range map[string]func(*descriptorpb.MethodOptions) *descriptorpb.MethodOptions{
		"as generated code has it": nil,
		"as bytes that nobody has read": func(options *descriptorpb.MethodOptions) *descriptorpb.MethodOptions {
			return reread(t, options, new(protoregistry.Types))
		},
		"as a dynamic message": func(options *descriptorpb.MethodOptions) *descriptorpb.MethodOptions {
			return reread(t, options, dynamicpb.NewTypes(protoregistry.GlobalFiles))
		},
	} {
		name := declare(t, represent,
			declaration{"All", &policypb.Policy{AllScopes: []string{"a", "b"}}},
			declaration{"Any", &policypb.Policy{AnyScopes: []string{"a", "b"}}},
			declaration{"Both", &policypb.Policy{AllScopes: []string{"a"}, AnyScopes: []string{"b", "c"}}},
			declaration{"AnyToken", &policypb.Policy{AnyToken: true}},
			declaration{"Public", &policypb.Policy{Public: true}},
			declaration{"InOptions", nil},
			declaration{"PublicInOptions", nil},
		)
		auth := newAuth(t, v, grpcauth.Options{
			Services: []string{name},
			Methods:  methods("/"+name+"/InOptions", "d"),
			Public:   []string{"/" + name + "/PublicInOptions"},
		})
		for _, test := range []struct {
			method, scope string // "-" for no token
			code          codes.Code
			reason        string
		}{
			{"All", "a b", codes.OK, ""},
			{"All", "a", codes.PermissionDenied, "SCOPE_INSUFFICIENT"},
			{"All", "b", codes.PermissionDenied, "SCOPE_INSUFFICIENT"},
			{"All", "-", codes.Unauthenticated, "CREDENTIALS_MISSING"},
			{"Any", "a", codes.OK, ""},
			{"Any", "b", codes.OK, ""},
			{"Any", "c", codes.PermissionDenied, "SCOPE_INSUFFICIENT"},
			{"Both", "a c", codes.OK, ""},
			{"Both", "a", codes.PermissionDenied, "SCOPE_INSUFFICIENT"},
			{"Both", "b c", codes.PermissionDenied, "SCOPE_INSUFFICIENT"},
			{"AnyToken", "z", codes.OK, ""},
			{"AnyToken", "-", codes.Unauthenticated, "CREDENTIALS_MISSING"},
			{"Public", "-", codes.OK, ""},
			{"InOptions", "d", codes.OK, ""},
			{"InOptions", "a b", codes.PermissionDenied, "SCOPE_INSUFFICIENT"},
			{"PublicInOptions", "-", codes.OK, ""},
			{"Later", "a b c d", codes.PermissionDenied, "POLICY_DENIED"},
			{"", "a b c d", codes.PermissionDenied, "POLICY_DENIED"},
		} {
			t.Run(form+"/"+test.method+" with "+test.scope, func(t *testing.T) {
				var authorization []string
				if test.scope != "-" {
					authorization = []string{bearer(test.scope)}
				}
				ran, err := invoke(t, auth, "/"+name+"/"+test.method, authorization...)
				wantStatus(t, err, test.code, test.reason)
				if ran != (test.code == codes.OK) {
					t.Errorf("the method ran: got %v; want %v", ran, !ran)
				}
			})
		}
	}
}

// reread reads the options again, with other types.
func reread(t testing.TB, options *descriptorpb.MethodOptions, types interface {
	protoregistry.ExtensionTypeResolver
	protoregistry.MessageTypeResolver
}) *descriptorpb.MethodOptions {
	t.Helper()
	text, err := proto.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	again := new(descriptorpb.MethodOptions)
	if err := (proto.UnmarshalOptions{Resolver: types}).Unmarshal(text, again); err != nil {
		t.Fatal(err)
	}
	return again
}

// TestEachDemandIsDeclared: every field of the option refuses what its demand refuses.
func TestEachDemandIsDeclared(t *testing.T) {
	v := testkit.NewValidator(t, as, func(c *accesstoken.Config) {
		c.ACROrder = []string{"silver", "gold"}
		c.DetailTypes = map[string]accesstoken.DetailType{"payment": {}}
	})
	actor := []*policypb.Policy_Actor{{Iss: as.URL, Sub: "agent", ClientId: "app"}}
	detail := []*policypb.Policy_Detail{{Type: "payment", Actions: []string{"a"}, Datatypes: []string{"d"}, Privileges: []string{"p"}, Location: "l", Identifier: "i"}}
	act := func(sub, client string) accesstokentest.Claims {
		return accesstokentest.Claims{"act": map[string]any{"sub": sub, "client_id": client}}
	}
	details := func(change func(map[string]any)) accesstokentest.Claims {
		object := map[string]any{"type": "payment", "actions": []string{"a"}, "datatypes": []string{"d"}, "privileges": []string{"p"}, "locations": []string{"l"}, "identifier": "i"}
		change(object)
		return accesstokentest.Claims{"authorization_details": []any{object}}
	}
	without := func(member string) accesstokentest.Claims {
		return details(func(object map[string]any) { delete(object, member) })
	}
	now := time.Now().Unix()
	for _, test := range []struct {
		policy     *policypb.Policy
		good, bad  accesstokentest.Claims // nil: none
		wantReason string
	}{
		{&policypb.Policy{AcrValues: []string{"x", "silver"}}, accesstokentest.Claims{"acr": "gold"}, accesstokentest.Claims{"acr": "pwd"}, "STEP_UP_REQUIRED"},
		{&policypb.Policy{MaxAge: proto.Uint32(60)}, accesstokentest.Claims{"auth_time": now - 30}, accesstokentest.Claims{"auth_time": now - 90}, "STEP_UP_REQUIRED"},
		{&policypb.Policy{Amr: []string{"hwk", "otp"}}, accesstokentest.Claims{"amr": []string{"otp"}}, accesstokentest.Claims{"amr": []string{"pwd"}}, "POLICY_DENIED"},
		{&policypb.Policy{SenderConstrained: true}, nil, accesstokentest.Claims{}, "BINDING_REQUIRED"},
		{&policypb.Policy{SpiffeIds: []string{"spiffe://example.org/a"}}, nil, accesstokentest.Claims{"sub": "spiffe://example.org/a"}, "POLICY_DENIED"},
		{&policypb.Policy{RefuseDelegated: true}, accesstokentest.Claims{}, act("agent", "app"), "POLICY_DENIED"},
		{&policypb.Policy{Actors: actor}, act("agent", "app"), act("other", "app"), "POLICY_DENIED"},
		{&policypb.Policy{Actors: actor}, act("agent", "app"), act("agent", "other"), "POLICY_DENIED"},
		{&policypb.Policy{Actors: actor}, act("agent", "app"), accesstokentest.Claims{}, "POLICY_DENIED"},
		{&policypb.Policy{AuthorizationDetails: detail}, without(""), accesstokentest.Claims{}, "AUTHORIZATION_DETAILS_INSUFFICIENT"},
		{&policypb.Policy{AuthorizationDetails: detail}, without(""), details(func(object map[string]any) { object["type"] = "account" }), "AUTHORIZATION_DETAILS_INSUFFICIENT"},
		{&policypb.Policy{AuthorizationDetails: detail}, without(""), without("actions"), "AUTHORIZATION_DETAILS_INSUFFICIENT"},
		{&policypb.Policy{AuthorizationDetails: detail}, without(""), without("datatypes"), "AUTHORIZATION_DETAILS_INSUFFICIENT"},
		{&policypb.Policy{AuthorizationDetails: detail}, without(""), without("privileges"), "AUTHORIZATION_DETAILS_INSUFFICIENT"},
		{&policypb.Policy{AuthorizationDetails: detail}, without(""), without("locations"), "AUTHORIZATION_DETAILS_INSUFFICIENT"},
		{&policypb.Policy{AuthorizationDetails: detail}, without(""), without("identifier"), "AUTHORIZATION_DETAILS_INSUFFICIENT"},
	} {
		t.Run(fmt.Sprint(test.policy), func(t *testing.T) {
			test.policy.AnyToken = true
			// The option is read from bytes, as in a descriptor.
			name := declare(t, func(options *descriptorpb.MethodOptions) *descriptorpb.MethodOptions {
				return reread(t, options, new(protoregistry.Types))
			}, declaration{"Get", test.policy})
			auth := newAuth(t, v, grpcauth.Options{Services: []string{name}})
			if test.good != nil {
				if ran, err := invoke(t, auth, "/"+name+"/Get", "Bearer "+as.Token(test.good)); !ran || err != nil {
					t.Errorf("a token that satisfies it: got %v, %v; want the call", ran, err)
				}
			}
			ran, err := invoke(t, auth, "/"+name+"/Get", "Bearer "+as.Token(test.bad))
			if reason := reasonOf(err); ran || reason != test.wantReason {
				t.Errorf("a token that does not: got %v, %v; want %s", ran, err, test.wantReason)
			}
		})
	}
}

// reasonOf returns the reason of a refused call.
func reasonOf(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// TestFreshIntrospectionIsDeclared: the option reaches the issuer.
func TestFreshIntrospectionIsDeclared(t *testing.T) {
	server := accesstokentest.NewServer(t)
	var asked atomic.Int32
	server.Handle(accesstokentest.IntrospectionPath, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"active":true,"iss":%q,"aud":%q,"sub":"alice","client_id":"app","exp":%d}`,
			server.URL, testkit.Resource, time.Now().Add(time.Hour).Unix())
	}))
	client, err := introspection.NewClient(introspection.Config{
		Endpoint: server.IntrospectionEndpoint(), ClientID: accesstokentest.ClientID, ClientSecret: accesstokentest.ClientSecret,
		HTTPClient: server.Client(), CacheFor: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	v := testkit.NewValidator(t, server, func(config *accesstoken.Config) { config.Issuers[0].Introspection = client })
	name := declare(t, nil,
		declaration{"Cached", &policypb.Policy{AnyToken: true}},
		declaration{"Fresh", &policypb.Policy{AnyToken: true, FreshIntrospection: true}})
	auth := newAuth(t, v, grpcauth.Options{Services: []string{name}})
	for i, test := range []struct {
		method string
		want   int32 // how often the issuer has been asked
	}{{"Cached", 1}, {"Cached", 1}, {"Fresh", 2}, {"Fresh", 3}, {"Cached", 3}} {
		if _, err := invoke(t, auth, "/"+name+"/"+test.method, "Bearer opaque"); err != nil {
			t.Fatal(err)
		}
		if got := asked.Load(); got != test.want {
			t.Errorf("call %d, of %s: the issuer was asked %d times; want %d", i, test.method, got, test.want)
		}
	}
}

// later returns a message with a field of a later version.
func later[M proto.Message](message M) M {
	message.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, 99, protowire.BytesType), "x"))
	return message
}

// TestNewRefusesAProtoThatIsNoPolicy: one line for each fault, and it names the
// method (GRPC-04).
func TestNewRefusesAProtoThatIsNoPolicy(t *testing.T) {
	v := testkit.NewValidator(t, as, nil)
	a := []string{"a"}
	newer := later(&policypb.Policy{AnyToken: true})
	for _, test := range []struct {
		name   string
		policy *policypb.Policy
		want   string
	}{
		{"no option", nil, `has no rule: write, for instance, option (accesstoken.v1.policy).all_scopes = "..." in its .proto, or list it in Methods or Public`},
		{"an empty option", &policypb.Policy{}, "option (accesstoken.v1.policy): the option allows no caller: set all_scopes, any_scopes, any_token or public"},
		{"fresh introspection of nothing", &policypb.Policy{FreshIntrospection: true}, "the option allows no caller"},
		{"public, with all_scopes", &policypb.Policy{Public: true, AllScopes: a}, "public contradicts"},
		{"public, with any_scopes", &policypb.Policy{Public: true, AnyScopes: a}, "public contradicts"},
		{"public, with any_token", &policypb.Policy{Public: true, AnyToken: true}, "public contradicts"},
		{"public, with fresh introspection", &policypb.Policy{Public: true, FreshIntrospection: true}, "public contradicts"},
		{"any_token, with all_scopes", &policypb.Policy{AnyToken: true, AllScopes: a}, "any_token contradicts"},
		{"any_token, with any_scopes", &policypb.Policy{AnyToken: true, AnyScopes: a}, "any_token contradicts"},
		{"an empty scope", &policypb.Policy{AllScopes: []string{""}}, `"" is not a scope-token`},
		{"two scopes in one element", &policypb.Policy{AllScopes: []string{"a b"}}, `"a b" is not a scope-token`},
		{"a bad choice", &policypb.Policy{AnyScopes: []string{"a", "b\\"}}, `"b\\" is not a scope-token`},
		{"a bad choice beside good scopes", &policypb.Policy{AllScopes: a, AnyScopes: []string{"\u00e4"}}, `is not a scope-token`},
		{"a demand of a later version", newer, "a field that this version of grpcauth does not know"},
		{"an actor of a later version", &policypb.Policy{AnyToken: true, Actors: []*policypb.Policy_Actor{{Iss: "i", Sub: "s"}, later(&policypb.Policy_Actor{Iss: "i", Sub: "s"})}}, "a field that this version of grpcauth does not know"},
		{"a detail of a later version", &policypb.Policy{AnyToken: true, AuthorizationDetails: []*policypb.Policy_Detail{later(&policypb.Policy_Detail{Type: "payment"}), {Type: "payment"}}}, "a field that this version of grpcauth does not know"},
		{"public, with acr_values", &policypb.Policy{Public: true, AcrValues: a}, "public contradicts"},
		{"public, with max_age", &policypb.Policy{Public: true, MaxAge: proto.Uint32(0)}, "public contradicts"},
		{"public, with actors", &policypb.Policy{Public: true, Actors: []*policypb.Policy_Actor{{}}}, "public contradicts"},
		{"public, with refuse_delegated", &policypb.Policy{Public: true, RefuseDelegated: true}, "public contradicts"},
		{"only acr_values", &policypb.Policy{AcrValues: a}, "the option allows no caller"},
		{"a max_age of zero", &policypb.Policy{AnyToken: true, MaxAge: proto.Uint32(0)}, "max_age is 0"},
		{"a max_age below the leeway", &policypb.Policy{AnyToken: true, MaxAge: proto.Uint32(29)}, "less than the Leeway of 30s"},
		{"an acr that no challenge can list", &policypb.Policy{AnyToken: true, AcrValues: []string{"a b"}}, "ACR is"},
		{"an empty method", &policypb.Policy{AnyToken: true, Amr: []string{""}}, "AMR has an empty element"},
		{"a whole trust domain", &policypb.Policy{AnyToken: true, SpiffeIds: []string{"spiffe://example.org/*"}}, "SPIFFEIDs[0]"},
		{"an actor without issuer", &policypb.Policy{AnyToken: true, Actors: []*policypb.Policy_Actor{{Sub: "s"}}}, "Actors[0] does not identify an actor"},
		{"an actor, and no actor", &policypb.Policy{AnyToken: true, RefuseDelegated: true, Actors: []*policypb.Policy_Actor{{Iss: "i", Sub: "s"}}}, "both set"},
		{"a detail without type", &policypb.Policy{AnyToken: true, AuthorizationDetails: []*policypb.Policy_Detail{{Actions: a}}}, "Details[0] has no Type"},
		{"a detail of a type that is not configured", &policypb.Policy{AnyToken: true, AuthorizationDetails: []*policypb.Policy_Detail{{Type: "payment"}}}, "is not among Config.DetailTypes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			name := declare(t, nil, declaration{"Good", &policypb.Policy{AnyToken: true}}, declaration{"Bad", test.policy})
			auth, err := grpcauth.New(v, &grpcauth.Options{Services: []string{name}})
			if err == nil || auth != nil {
				t.Fatalf("got %v, %v; want an error and nothing else", auth, err)
			}
			if got := err.Error(); !strings.HasPrefix(got, "grpcauth: /"+name+"/Bad") || !strings.Contains(got, test.want) || strings.Contains(got, "\n") {
				t.Errorf("got %q; want one line that names the method and says %q", got, test.want)
			}
		})
	}
	t.Run("all of them, in their order", func(t *testing.T) {
		name := declare(t, nil, declaration{"First", nil}, declaration{"Second", &policypb.Policy{}}, declaration{"Third", nil})
		_, err := grpcauth.New(v, &grpcauth.Options{Services: []string{name}})
		wantLines(t, err, "/"+name+"/First has no rule", "/"+name+"/Second: option", "/"+name+"/Third has no rule")
	})
}

// Options that nobody can read are not options that say nothing; what has our
// number and is of another type is not ours, and says nothing.
func TestOptionsThatAreNotOurs(t *testing.T) {
	v := testkit.NewValidator(t, as, nil)
	number := policypb.E_Policy.TypeDescriptor().Number()
	for name, test := range map[string]struct {
		raw  []byte
		want string
	}{
		"a policy that is cut short":    {protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), []byte{0x0a, 0x05, 'a'}), "Get: its options cannot be read"},
		"a number in place of a policy": {protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), 1), "Get has no rule"},
		"the neighbour's option":        {protowire.AppendBytes(protowire.AppendTag(nil, number+1, protowire.BytesType), []byte{0x20, 1}), "Get has no rule"},
	} {
		t.Run(name, func(t *testing.T) {
			service := declare(t, func(options *descriptorpb.MethodOptions) *descriptorpb.MethodOptions {
				options.ProtoReflect().SetUnknown(test.raw)
				return options
			}, declaration{"Get", nil})
			_, err := grpcauth.New(v, &grpcauth.Options{Services: []string{service}})
			wantLines(t, err, "/"+service+"/"+test.want)
		})
	}
}

// TestARuleOfTheProtoAndOneOfTheOptions: a method has one rule, and a service that
// speaks for its methods has none for the rest (GRPC-05).
func TestARuleOfTheProtoAndOneOfTheOptions(t *testing.T) {
	v := testkit.NewValidator(t, as, nil)
	name := declare(t, nil, declaration{"Declared", &policypb.Policy{AllScopes: []string{"a"}}}, declaration{"Silent", nil})
	declared, silent, whole := "/"+name+"/Declared", "/"+name+"/Silent", "/"+name+"/*"
	for _, test := range []struct {
		name    string
		options grpcauth.Options
		want    []string
	}{
		{"a rule for the other", grpcauth.Options{Methods: methods(silent, "b")}, nil},
		{"two rules", grpcauth.Options{Methods: methods(silent, "b", declared, "b")}, []string{`"` + declared + `" has two rules`}},
		{"two rules, though they are the same", grpcauth.Options{Methods: methods(silent, "b", declared, "a")}, []string{`"` + declared + `" has two rules`}},
		{"two rules, one of them public", grpcauth.Options{Public: []string{silent, declared}}, []string{`"` + declared + `" has two rules`}},
		{"a rule of the service is none for the method", grpcauth.Options{Methods: methods(whole, "b")}, []string{`remove Methods["` + whole + `"]`, silent + " has no rule"}},
		{"a rule of the service beside all others", grpcauth.Options{Methods: methods(whole, "b", silent, "b")}, []string{`remove Methods["` + whole + `"]`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.options.Services = []string{name}
			_, err := grpcauth.New(v, &test.options)
			wantLines(t, err, test.want...)
		})
	}
}

func TestServicesThatAreNotThere(t *testing.T) {
	v := testkit.NewValidator(t, as, nil)
	good := declare(t, nil, declaration{"Get", &policypb.Policy{AnyToken: true}})
	for _, test := range []struct {
		name     string
		services []string
		want     []string
	}{
		{"another case", []string{"grpc.testing.testservice"}, []string{`there is no "grpc.testing.testservice" in protoregistry.GlobalFiles, only `, `grpc.testing.TestService`}},
		{"another package", []string{"grpc.test.TestService"}, []string{`only grpc.testing.TestService`}},
		{"a slip of the pen", []string{"grpc.health.v1.Helth"}, []string{`only grpc.health.v1.Health`}},
		{"as a rule is written", []string{"/grpc.health.v1.Health/*"}, []string{`only grpc.health.v1.Health`}},
		{"as a method is written", []string{"grpc.health.v1.Health.Check"}, []string{`there is no`}},
		{"a message", []string{"grpc.health.v1.HealthCheckRequest"}, []string{`only grpc.health.v1.Health`}},
		{"nothing like it", []string{"Nothing"}, []string{"only declared", " more"}},
		{"no name", []string{""}, []string{`there is no ""`}},
		{"twice", []string{good, good}, []string{`Services has "` + good + `" twice`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for range 12 { // more than are listed
				declare(t, nil)
			}
			_, err := grpcauth.New(v, &grpcauth.Options{Services: test.services})
			if err == nil {
				t.Fatal("got nil; want an error")
			}
			for _, want := range append(test.want, "grpcauth: Services") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q; want it to say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") || strings.Count(err.Error(), ",") > 12 {
				t.Errorf("got %q; want one line of bearable length", err)
			}
		})
	}
	wantLines(t, func() error {
		_, err := grpcauth.New(v, &grpcauth.Options{Services: []string{"a.B", "a.C"}})
		return err
	}(), `"a.B"`, `"a.C"`)
}

func TestLaterChangesOfServicesChangeNoRule(t *testing.T) {
	one := declare(t, nil, declaration{"Get", &policypb.Policy{AnyToken: true}})
	two := declare(t, nil, declaration{"Get", &policypb.Policy{Public: true}})
	options := grpcauth.Options{Services: []string{one}}
	auth := newAuth(t, testkit.NewValidator(t, as, nil), options)
	options.Services[0] = two
	_, err := invoke(t, auth, "/"+two+"/Get")
	wantStatus(t, err, codes.PermissionDenied, "POLICY_DENIED")
	_, err = invoke(t, auth, "/"+one+"/Get", bearer(""))
	wantStatus(t, err, codes.OK, "")
}

// wantLines fails the test unless the error has a line for each of these, in
// their order; none wants no error.
func wantLines(t testing.TB, err error, wants ...string) {
	t.Helper()
	if err == nil || len(wants) == 0 {
		if err != nil || len(wants) > 0 {
			t.Errorf("got %v; want %q", err, wants)
		}
		return
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(wants) {
		t.Errorf("got %d lines; want %d:\n%v", len(lines), len(wants), err)
		return
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, "grpcauth: ") || !strings.Contains(line, wants[i]) {
			t.Errorf("line %d: got %q; want it to begin with the package and say %q", i, line, wants[i])
		}
	}
}

// A challenge asks for what the .proto says.
func TestAChallengeAsksForDeclaredScopes(t *testing.T) {
	name := declare(t, nil, declaration{"Get", &policypb.Policy{AllScopes: []string{"a"}, AnyScopes: []string{"b", "c"}}})
	auth := newAuth(t, testkit.NewValidator(t, as, nil), grpcauth.Options{Services: []string{name}})
	_, err := invoke(t, auth, "/"+name+"/Get", bearer("c"))
	info, _ := wantStatus(t, err, codes.PermissionDenied, "SCOPE_INSUFFICIENT")
	if got := info.GetMetadata()["scope"]; got != "a b" {
		t.Errorf("the scopes asked for: got %q; want %q", got, "a b")
	}
}

// What users read and what is compiled are one.
func TestTheGeneratedCodeIsThatOfThePublishedProto(t *testing.T) {
	text, err := os.ReadFile("../proto/accesstoken/v1/policy.proto")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, field := range regexp.MustCompile(`(?m)^ +((?:repeated |optional )?\w+ \w+ = \d+);$`).FindAllStringSubmatch(string(text), -1) {
		got = append(got, field[1])
	}
	policy := policypb.File_accesstoken_v1_policy_proto.Messages().ByName("Policy")
	want := fieldsOf(policy)
	for i := range policy.Messages().Len() {
		want = append(want, fieldsOf(policy.Messages().Get(i))...)
	}
	want = append(want, fmt.Sprintf("Policy policy = %d", policypb.E_Policy.TypeDescriptor().Number()))
	if !slices.Equal(got, want) {
		t.Errorf("policy.proto has\n%q; the generated code has\n%q: run go generate in grpcauth/policypb", got, want)
	}
}

// fieldsOf returns the fields of a message, as a .proto has them.
func fieldsOf(message protoreflect.MessageDescriptor) (list []string) {
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		label, kind := "", field.Kind().String()
		switch {
		case field.IsList():
			label = "repeated "
		case field.HasOptionalKeyword():
			label = "optional "
		}
		if field.Message() != nil {
			kind = string(field.Message().Name())
		}
		list = append(list, fmt.Sprintf("%s%s %s = %d", label, kind, field.Name(), field.Number()))
	}
	return list
}
