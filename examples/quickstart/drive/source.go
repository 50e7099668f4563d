package drive

import (
	_ "embed"
	"strings"
)

//go:embed drive.go
var source string

// Source returns the source code of [NewValidator], which the page shows.
func Source() string {
	_, rest, _ := strings.Cut(source, "\n// NewValidator has all")
	body, _, _ := strings.Cut(rest, "\n}\n")
	return "// NewValidator has all" + body + "\n}"
}
