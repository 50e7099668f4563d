package challenge

import "strings"

// A Param is one auth-param of a challenge (RFC 9110 §11.2). If its Value is empty,
// the Param is left out.
type Param struct{ Name, Value string }

// Write returns a challenge for a WWW-Authenticate field: the scheme, and its
// parameters as quoted strings. If a value is not printable ASCII, its parameter is
// left out, so that a control character cannot split the header.
func Write(scheme string, params ...Param) string {
	var b strings.Builder
	b.WriteString(scheme)
	separator := " "
	for _, p := range params {
		if p.Value == "" || !IsQuotable(p.Value) {
			continue
		}
		b.WriteString(separator + p.Name + `="`)
		quote(&b, p.Value)
		b.WriteByte('"')
		separator = ", "
	}
	return b.String()
}

// quote writes the text to b with a backslash before every " and \ (RFC 9110
// §5.6.4). The caller writes the quotes around it.
func quote(b *strings.Builder, text string) {
	for i := range len(text) {
		if text[i] == '"' || text[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(text[i])
	}
}

// IsQuotable reports whether text can be in a quoted-string: printable ASCII, with "
// and \ escaped.
func IsQuotable(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// IsDescription reports whether text can be an error_description, which needs no
// escaping: %x20-21 / %x23-5B / %x5D-7E (RFC 6750 §3).
func IsDescription(text string) bool {
	return IsQuotable(text) && !strings.ContainsAny(text, `"\`)
}
