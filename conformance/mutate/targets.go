package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// A target is a file whose checks are mutated. If a function checks nothing, its name
// should be in skip.
type target struct {
	file string
	skip []string
}

var targets = []target{
	{file: "internal/jose/jose.go"},
	{file: "internal/jose/headers.go", skip: []string{"Headers.Remember"}}, // a header that is not cached is read again
	{file: "internal/jose/json.go"},
	{file: "internal/jose/scanner.go"},
	{file: "internal/jose/claims.go"},
	{file: "internal/jose/lookup.go"},
	{file: "internal/shape/spec.go"},
	{file: "internal/shape/gates.go"},
	{file: "internal/shape/node.go"},
	{file: "internal/shape/judge.go"},
	{file: "internal/jose/verify.go"},
	{file: "internal/jose/key.go"},
	{file: "internal/jose/jwk.go"},
	{file: "internal/jose/sign.go"},
	{file: "internal/challenge/credentials.go"},
	{file: "scopes/set.go"},
	{file: "scopes/requirement.go", skip: []string{"Requirement.String"}}, // for people
	{file: "jwks/keyset.go", skip: []string{
		"keySet.held", "keySet.find", "keySet.has", "generationOf", // these find keys; their callers decide what is refused
		"identify", "entry.equals", "firstOf", "omission.expected", // these compare key sets or write log lines, and refuse nothing
	}},
	{file: "jwks/view.go"},
	{file: "jwks/rotation.go"},
	{file: "jwks/doubt.go"},
	{file: "jwks/budget.go"},
	{file: "dpop/config.go"},
	{file: "dpop/dpop.go"},
	{file: "dpop/proof.go"},
	{file: "dpop/url.go"},
	{file: "dpop/nonce.go"},
	{file: "dpop/store.go"},
	{file: "dpop/memory.go"},
	{file: "dpop/signer.go"},
	{file: "internal/clientcert/clientcert.go"},
	{file: "internal/clientcert/encoding.go"},
	{file: "internal/clientcert/xfcc.go"},
	{file: "internal/binding/binding.go"},
	{file: "certificate.go"},
	{file: "judge.go"},
	{file: "authorize.go"},
	{file: "introspect.go"},
	{file: "fapi.go"},
	{file: "credentials.go"},
	{file: "policy.go"},
	{file: "step.go"},
	{file: "delegation.go"},
	{file: "details.go"},
	{file: "metadata.go"},
	{file: "resourcemetadata/metadata.go"},
	{file: "resourcemetadata/handler.go"},
	{file: "resourcemetadata/client.go"},
	{file: "internal/challenge/read.go"},
	{file: "identity.go"},
	{file: "own.go"},
	{file: "vouch.go"},
	{file: "vouched.go"},
	{file: "facts.go", skip: []string{"facts.each", "facts.compact"}},
	{file: "rules.go"},
	{file: "tenants.go"},
	{file: "hierarchy.go"},
	{file: "issuer.go", skip: []string{
		"issuer.warm", "issuer.ready", // construction and shutdown
	}},
	{file: "verify.go"},
	{file: "complete.go"},
	{file: "validator.go", skip: []string{
		"NewValidator", "Validator.Ready", "Validator.eachIssuer", "Validator.Close", // construction and shutdown
	}},
	{file: "checks.go"},
	{file: "roster.go"},
	{file: "family.go"},
	{file: "resource.go"},
	{file: "resolve.go"},
	{file: "spiffe.go"},
	{file: "internal/answers/answers.go"},
	{file: "config.go"},
	{file: "config_check.go"},
	{file: "faults.go"},
	{file: "names.go"},
	{file: "internal/adapter/adapter.go"},
	{file: "internal/adapter/header.go"},
	{file: "internal/tokencache/digest.go"},
	{file: "internal/tokencache/tokencache.go"},
	{file: "middleware/middleware.go"},
	{file: "middleware/echoauth/echoauth.go"},
	{file: "grpcauth/grpcauth.go"},
	{file: "grpcauth/covers.go"},
	{file: "grpcauth/proto.go", skip: []string{"registeredNames"}}, // for people
	{file: "grpcauth/refuse.go"},
	{file: "grpcauth/stream.go"},
	{file: "grpcauth/dpop.go"},
	{file: "introspection/breaker.go"},
	{file: "introspection/calls.go"},
	{file: "introspection/row.go"},
	{file: "introspection/known.go"},
	{file: "introspection/failure.go"},
}

// A stage is a package whose tests are run.
type stage struct {
	pkg  string
	skip string // tests that are not run; at worst, a mutant survives
}

var (
	root = stage{pkg: ".", skip: "^(TestAFloodOfNewTokensDrivesOutNobody|TestRefusedTokensLeaveNothingInTheCache|" +
		"TestFactsKeepLittleOfATokenThatSaysMuch|TestNoGoroutineOutlivesClose|TestAForgottenConnectionIsHealedWithinATimeout)$"} // long floods, and real time
	cases   = stage{pkg: "conformance"}
	keySets = stage{pkg: "jwks", skip: "^(TestSoak|TestFaultsOfARealServer)$"} // these tests take real time
	proofs  = stage{pkg: "dpop", skip: "^TestWhatAProofTakes$"}                // measures
	netHTTP = stage{pkg: "middleware"}
	echo    = stage{pkg: "middleware/echoauth"}
	grpc    = stage{pkg: "grpcauth"}
)

// stages are the packages whose tests are run for a file's mutants, by its folder.
// They are its own package, if that has tests, and then packages that use it.
var stages = map[string][]stage{
	"internal/jose":       {{pkg: "internal/jose"}, cases, root},
	"internal/challenge":  {{pkg: "internal/challenge"}, cases, root},
	"scopes":              {{pkg: "scopes"}, cases, root, netHTTP},
	"jwks":                {keySets, cases, root},
	"dpop":                {proofs},
	"internal/clientcert": {{pkg: "internal/clientcert"}, cases, root},
	"internal/shape":      {{pkg: "internal/shape"}, root, cases},
	"internal/binding":    {root, cases},
	"internal/adapter":    {{pkg: "internal/adapter"}, netHTTP, echo, grpc, cases},
	"internal/answers":    {{pkg: "internal/answers"}, root},
	"internal/tokencache": {{pkg: "internal/tokencache"}, root},
	"middleware":          {netHTTP, cases},
	"middleware/echoauth": {echo, cases},
	"grpcauth":            {grpc, cases},
	"resourcemetadata":    {{pkg: "resourcemetadata"}, root},
	"introspection":       {{pkg: "introspection"}, root},
	".":                   {root, cases, netHTTP},
}

// collect finds the mutants of every target below the top folder.
func collect(top string) (all []mutant, err error) {
	for _, t := range targets {
		source, err := os.ReadFile(filepath.Join(top, filepath.FromSlash(t.file)))
		if err != nil {
			return nil, fmt.Errorf("%w; run mutate in the root of the module", err)
		}
		found, functions, err := find(t.file, source, t.skip, len(all))
		if err != nil {
			return nil, err
		}
		for _, name := range t.skip {
			if !slices.Contains(functions, name) {
				return nil, fmt.Errorf("%s no longer has %s; remove it from targets", t.file, name)
			}
		}
		all = append(all, found...)
	}
	return all, nil
}
