package drive

import (
	_ "embed"
	"strings"
)

//go:embed drive.go
var source string

// Source is the text of [NewValidator], for a page that shows the code that decides.
func Source() string {
	_, rest, _ := strings.Cut(source, "\n// NewValidator is all")
	body, _, _ := strings.Cut(rest, "\n}\n")
	return "// NewValidator is all" + body + "\n}"
}
