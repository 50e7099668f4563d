package jose

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// Canonical returns a valid JSON value in the form that all equal values share (RFC 8785),
// except that large integers stay exact. It returns any other text as it is.
func Canonical(value []byte) string {
	canonical := jsontext.Value(bytes.Clone(value))
	_ = canonical.Canonicalize(jsontext.CanonicalizeRawInts(false)) // an invalid one stays as it is
	return string(canonical)
}
