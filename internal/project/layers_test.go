package project_test

import (
	"slices"
	"strings"
	"testing"
)

// layers are the layers of the packages, the lowest first. A package should import only
// from lower layers, so packages of one layer do not import each other.
var layers = [][]string{
	{"scopes", "internal/panics", "internal/dryrun", "internal/pool", "internal/clientcert", "internal/carried", "internal/tokencache", "internal/answers", "internal/meter"},
	{"internal/fetch"},
	{"internal/jose", "internal/challenge"},
	{"internal/discovery", "internal/shape"},
	{"jwks", "introspection", "dpop", "dialect", "resourcemetadata"},
	{"internal/binding"},
	{"."},
	{"internal/adapter", "internal/ending", "grpcauth/policypb"},
	{"middleware", "middleware/echoauth", "grpcauth", "accesstokentest"},
	{"cmd/accesstoken"},
	{"benchmarks/internal/report"},
	{"conformance", "conformance/mutate", "benchmarks", "benchmarks/rounds", "benchmarks/loopback", "benchmarks/issuers", "internal/project", "internal/release", "internal/testkit"},
}

// library is the number of layers that belong to the library. The layers above are for
// work on this repository.
var library = len(layers) - 2

// only has the packages, by the beginning of their path, that only the listed places of
// the library may import. Every dependency is among them.
var only = map[string][]string{
	"github.com/labstack/echo/":      {"middleware/echoauth"},
	"google.golang.org/grpc":         {"grpcauth", "cmd/accesstoken"},
	"google.golang.org/protobuf":     {"grpcauth", "grpcauth/policypb", "cmd/accesstoken"},
	"google.golang.org/genproto":     {"grpcauth"},
	"internal/carried":               {".", "internal/adapter", "internal/ending", "accesstokentest"},
	"internal/adapter":               {"middleware", "middleware/echoauth", "grpcauth"},
	"internal/ending":                {"middleware", "middleware/echoauth"},
	"net/http/httptest":              {"accesstokentest"},
	"testing":                        {},
	"github.com/golang-jwt/jwt/v5":   {"internal/jose", "jwks", "accesstokentest"},
	"github.com/MicahParks/":         {"jwks", "accesstokentest"},
	"github.com/go-json-experiment/": {"internal/jose", "jwks"},
	"code.dny.dev/ssrf":              {"internal/fetch"},
	"golang.org/x/":                  {"jwks", "introspection", "internal/discovery", "internal/tokencache", "internal/answers"},
}

func floor(pkg string) int {
	return slices.IndexFunc(layers, func(layer []string) bool { return slices.Contains(layer, pkg) })
}

func TestImportsPointDown(t *testing.T) {
	for _, p := range goList(t) {
		from := floor(p.ImportPath)
		if from < 0 {
			t.Errorf("%s is not in a layer; add it to layers", p.ImportPath)
			continue
		}
		for _, imported := range p.Imports {
			to := floor(imported)
			switch {
			case to > from:
				t.Errorf("%s imports %s, which is in a higher layer", named(p.ImportPath), named(imported))
			case to == from:
				t.Errorf("%s imports %s, which is in the same layer", named(p.ImportPath), named(imported))
			}
		}
	}
}

func TestDependenciesStayInTheirPlaces(t *testing.T) {
	for _, p := range goList(t) {
		if floor(p.ImportPath) >= library {
			continue
		}
		for _, imported := range p.Imports {
			if place, ok := placeOf(imported); ok && !slices.Contains(place, p.ImportPath) {
				t.Errorf("%s imports %s: only these may: %q", named(p.ImportPath), imported, place)
			} else if !ok && isForeign(imported) {
				t.Errorf("%s imports %s: a new dependency; say in the table only why it may", named(p.ImportPath), imported)
			}
		}
	}
}

func placeOf(imported string) (place []string, ok bool) {
	for prefix, place := range only {
		if isBelow(prefix, imported) {
			return place, true
		}
	}
	return nil, false
}

// isBelow reports whether the import path begins with the prefix, by whole
// elements.
func isBelow(prefix, imported string) bool {
	return imported == prefix || strings.HasPrefix(imported, strings.TrimSuffix(prefix, "/")+"/")
}

// isForeign reports whether a package is neither ours nor in the standard library.
func isForeign(imported string) bool {
	host, _, _ := strings.Cut(imported, "/")
	return strings.Contains(host, ".") && imported != "."
}

// A program compiles only the adapters that it uses. For example, a program with
// net/http does not compile gRPC, and one with gRPC does not compile Echo.
func TestCarriersAreNotCompiledForEachOther(t *testing.T) {
	var (
		echo = "github.com/labstack/echo/"
		grpc = []string{"google.golang.org/grpc", "google.golang.org/protobuf", "google.golang.org/genproto"}
	)
	unwanted := map[string][]string{
		".":                   append(grpc, echo, "testing", "net/http/httptest"),
		"jwks":                append(grpc, echo, "testing", "."),
		"introspection":       append(grpc, echo, "testing", "."),
		"dpop":                append(grpc, echo, "testing", "."),
		"resourcemetadata":    append(grpc, echo, "testing", "jwks", "introspection", "."),
		"dialect":             append(grpc, echo, "testing", "jwks", "introspection", "."),
		"internal/tokencache": append(grpc, echo, "testing", "."),
		"middleware":          append(grpc, echo, "testing", "net/http/httptest"),
		"middleware/echoauth": append(grpc, "testing", "net/http/httptest"),
		"grpcauth/policypb":   {echo, "google.golang.org/grpc", ".", "testing", "net/http/httptest"},
		"grpcauth":            {echo, "testing", "net/http/httptest"},
		"accesstokentest":     append(grpc, echo, "middleware", "grpcauth"),
		"conformance":         append(grpc, echo, "grpcauth", "middleware/echoauth"),
	}
	seen := 0
	for _, p := range goList(t) {
		if unwanted[p.ImportPath] != nil {
			seen++
		}
		for _, dependency := range p.Deps {
			for _, prefix := range unwanted[p.ImportPath] {
				if isBelow(prefix, dependency) {
					t.Errorf("a program that imports %s compiles %s as well", named(p.ImportPath), named(dependency))
				}
			}
		}
	}
	if seen != len(unwanted) {
		t.Errorf("saw %d packages; want %d", seen, len(unwanted))
	}
}

// Examples must not import internal packages, because users cannot either.
func TestExamplesImportNothingInternal(t *testing.T) {
	inExamples := func(name string) bool { return strings.HasPrefix(name, top+"/examples/") && isGo(name) }
	for _, name := range files(t, inExamples) {
		tree, _ := parse(t, name)
		for _, imported := range tree.Imports {
			if strings.HasPrefix(imported.Path.Value, `"`+module+`/internal/`) {
				t.Errorf("%s imports %s, which no user can", name, imported.Path.Value)
			}
		}
	}
}
