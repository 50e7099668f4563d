package project_test

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/jwks"
)

// docs/operate.md has a row for each field of what a Validator tells, in their order.
func TestOperateHasEveryNumber(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(top, "docs", "operate.md"))
	if err != nil {
		t.Fatal(err)
	}
	fields := regexp.MustCompile("(?m)^\\| `(\\w+)` \\|")
	for heading, v := range map[string]any{
		"## Every decision": accesstoken.Decision{}, "### Stats": accesstoken.Stats{}, "### DecisionCount": accesstoken.DecisionCount{},
		"### IssuerStats": accesstoken.IssuerStats{}, "### jwks.Stats": jwks.Stats{}, "### introspection.Stats": introspection.Stats{},
		"### CacheStats": accesstoken.CacheStats{}, "### dpop.Stats": dpop.Stats{},
	} {
		_, section, ok := strings.Cut(string(text), heading+"\n")
		section, _, _ = strings.Cut(section, "\n##")
		var got, want []string
		for _, row := range fields.FindAllStringSubmatch(section, -1) {
			got = append(got, row[1])
		}
		for _, field := range reflect.VisibleFields(reflect.TypeOf(v)) {
			if field.IsExported() {
				want = append(want, field.Name)
			}
		}
		if !ok || !slices.Equal(got, want) {
			t.Errorf("%s: got rows for %q; want %q", heading, got, want)
		}
	}
}
