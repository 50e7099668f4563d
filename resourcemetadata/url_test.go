package resourcemetadata_test

import (
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/resourcemetadata"
)

// META-01: RFC 9728 §3.1.
func TestURL(t *testing.T) {
	for identifier, want := range map[string]string{
		"https://h.example":                 "https://h.example/.well-known/oauth-protected-resource",
		"https://h.example/":                "https://h.example/.well-known/oauth-protected-resource",
		"https://h.example:8443/a/b":        "https://h.example:8443/.well-known/oauth-protected-resource/a/b",
		"https://h.example/a/":              "https://h.example/.well-known/oauth-protected-resource/a/",
		"https://h.example/a/?x=1":          "https://h.example/.well-known/oauth-protected-resource/a/?x=1",
		"https://h.example?x=1":             "https://h.example/.well-known/oauth-protected-resource?x=1",
		"https://h.example/?x=1/2":          "https://h.example/.well-known/oauth-protected-resource?x=1/2",
		"https://h.example/%7Ealice/a%2Fb":  "https://h.example/.well-known/oauth-protected-resource/%7Ealice/a%2Fb",
		"https://[2001:db8::1]/mcp":         "https://[2001:db8::1]/.well-known/oauth-protected-resource/mcp",
		"http://localhost:443/a":            "http://localhost:443/.well-known/oauth-protected-resource/a",
		"http://localhost:8080/mcp":         "http://localhost:8080/.well-known/oauth-protected-resource/mcp",
		"https://h.example/a/.well-known/b": "https://h.example/.well-known/oauth-protected-resource/a/.well-known/b",
	} {
		if got, err := resourcemetadata.URL(identifier); got != want || err != nil {
			t.Errorf("%s: got %s, %v; want %s", identifier, got, err, want)
		}
	}
}

// META-05.
func TestURLRefusesWhatCannotBePublished(t *testing.T) {
	for identifier, want := range map[string]string{
		"":                                               "the URL is empty",
		"example.com/api":                                "not an absolute https URL",
		"urn:api":                                        "not an absolute https URL",
		"/api":                                           "not an absolute https URL",
		"https:///api":                                   "not an absolute https URL",
		"https://h.example#b":                            "must not have a fragment",
		"https://h.example/#":                            "must not have a fragment",
		"https://u@h.example":                            "must not carry user information",
		"https://u:secret@h.example":                     "must not carry user information",
		"http://h.example":                               "is not https",
		"HTTPS://h.example":                              "capital letters",
		"https://H.example/":                             "capital letters",
		"https://h.example/a b":                          "must escape",
		"https://h.example/ä":                            "must escape",
		`https://h.example/a"b`:                          "must escape",
		`https://h.example/a\b`:                          "must escape",
		"https://h.example/{id}":                         "must escape",
		"https://h.example/<a>":                          "must escape",
		"https://h.example/a|b":                          "must escape",
		"https://h.example/a^b":                          "must escape",
		"https://h.example/a`b":                          "must escape",
		"https://h.example/a?x={y}":                      "must escape",
		"https://h.example:/a":                           "the port of",
		"https://h.example:443/a":                        "the port of",
		"https://h.example:08443":                        "the port of",
		"https://[2001:db8::1]:443":                      "the port of",
		"http://localhost:80/":                           "the port of",
		"https://h.example//a":                           "empty segment",
		"https://h.example/a//b":                         "empty segment",
		"https://h.example/a/../b":                       "one of dots",
		"https://h.example/.":                            "one of dots",
		"https://h.example/%2e%2E/b":                     "one of dots",
		"https://h.example/%zz":                          "cannot be parsed",
		"https://h.example/\n":                           "cannot be parsed",
		"https://h.example/" + strings.Repeat("a", 2048): "at most 2048",
	} {
		got, err := resourcemetadata.URL(identifier)
		if err == nil || !strings.Contains(err.Error(), want) || got != "" {
			t.Errorf("%q: got %q, %v; want an error with %q", identifier, got, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error has the secret: %v", identifier, err)
		}
	}
}
