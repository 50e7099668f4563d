package journal

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

// A Token is a token decoded for display. Decode verifies nothing, so you must not use
// a Token to decide about access.
type Token struct {
	Short           string
	Header, Payload string // indented JSON; both are empty if the token is opaque
}

// Decode decodes a token. If the token is not a readable compact JWS, it counts as
// opaque.
func Decode(token string) Token {
	t := Token{Short: Shorten(token)}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return t
	}
	header, payload := indent(parts[0]), indent(parts[1])
	if header == "" || payload == "" {
		return t
	}
	t.Header, t.Payload = header, payload
	return t
}

// Readable reports whether the token was decoded, so that it is not opaque.
func (t Token) Readable() bool { return t.Header != "" }

// Summary describes the token in one line.
func (t Token) Summary() string {
	if !t.Readable() {
		return "opaque, only the issuer can read it: " + t.Short
	}
	var header struct{ Alg, Typ, Kid string }
	var payload struct {
		Aud   any
		Scope string
		Nonce string
	}
	if json.Unmarshal([]byte(t.Header), &header) != nil || json.Unmarshal([]byte(t.Payload), &payload) != nil {
		return "a token that cannot be read"
	}
	line := fmt.Sprintf("%s, kid %s, aud %v", header.Alg, header.Kid, payload.Aud)
	if payload.Scope != "" {
		line += ", scope " + payload.Scope
	}
	if payload.Nonce != "" {
		line += ", nonce " + payload.Nonce
	}
	return line
}

func indent(part string) string {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return ""
	}
	var out bytes.Buffer
	if json.Indent(&out, raw, "", "  ") != nil {
		return ""
	}
	return out.String()
}
