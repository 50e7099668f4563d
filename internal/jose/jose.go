// Package jose reads compact JWS tokens and JSON strictly. It turns bytes into a
// header and claims, which a caller should not trust before [Token.Verify] has
// succeeded.
package jose

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"unsafe"
)

// The kinds of refusal. Every error of [Parse], [ReadClaims] and [Token.Verify]
// matches one of them.
var (
	ErrNotJWT    = errors.New("the token does not have the form of a JWT")
	ErrMalformed = errors.New("the JWT is malformed")
	ErrType      = errors.New("the JWT header has a crit, b64, zip, enc or nested cty, or a typ that is not a string")
	ErrAlgorithm = errors.New("the key does not fit this algorithm")
	ErrSignature = errors.New("the signature is wrong")
)

// Bounds of a header in bytes; RFC 7515 does not set any.
const (
	maxHeader = 4096 // decoded
	maxKeyID  = 256
)

// A Token is a JWT in compact serialization, taken apart and not yet verified.
type Token struct {
	*Header             // shared by all tokens with the same header; read-only
	SigningInput string // header and payload as they were received (RFC 7515 §5.2)
	Payload      string
	Signature    []byte

	raw          string
	headerLength int // in raw
}

// A Header holds the members of a JOSE header that are used here. Members that
// name or carry keys (jku, jwk, x5u, x5c, x5t) are left out on purpose, because
// they must never choose a key (RFC 8725 §3.10).
type Header struct {
	Algorithm string // "" if the member is absent or not a string
	KeyID     string
	Type      string
	HasType   bool
	HasNonce  bool // true for tokens for Microsoft Graph, whose signature does not cover the header as sent
}

// Parse splits and decodes a token. It returns [ErrNotJWT] if the token does not
// have the form of a JWT: three parts, the first of which begins an encoded JSON
// object.
func Parse(token string) (Token, error) {
	t, err := new(Headers).Begin(token)
	if err == nil {
		err = t.Open()
	}
	if err != nil {
		return Token{}, err
	}
	return t, nil
}

// Begin splits a token and reads only its header, or finds the header in the
// cache, so that a caller can reject the token by its header before it decodes
// the rest with [Token.Open].
func (h *Headers) Begin(token string) (Token, error) {
	header, rest, _ := strings.Cut(token, ".")
	payload, signature, found := strings.Cut(rest, ".")
	if !found || strings.Contains(signature, ".") {
		return Token{}, ErrNotJWT
	}
	t := Token{SigningInput: token[:len(header)+1+len(payload)], raw: token, headerLength: len(header)}
	var err error
	t.Header, err = h.read(header)
	return t, err
}

// Open decodes the payload and the signature into one allocation.
func (t *Token) Open() error {
	payload, signature := t.SigningInput[t.headerLength+1:], t.raw[len(t.SigningInput)+1:]
	whole := make([]byte, strict.DecodedLen(len(payload))+strict.DecodedLen(len(signature)))
	n, err := decode(whole, payload)
	if err != nil {
		return err
	}
	m, err := decode(whole[n:], signature)
	if err != nil {
		return err
	}
	t.Payload = text(whole[:n])
	t.Signature = whole[n : n+m]
	return nil
}

// text returns the bytes as a string without copying them. The caller must not
// write to them afterwards.
func text(raw []byte) string { return unsafe.String(unsafe.SliceData(raw), len(raw)) }

// PayloadAt returns the offsets at which the encoded payload begins and ends in the
// token. They fit in 16 bits because callers pass tokens of at most 64 KiB: the
// payload ends at the second dot, whose offset is then at most 65535.
func (t *Token) PayloadAt() [2]uint16 {
	return [2]uint16{uint16(t.headerLength + 1), uint16(len(t.SigningInput))}
}

// beginsObject reports whether an encoded header begins a JSON object. It is
// lenient, because a JWT that is broken further on should be rejected as a
// malformed JWT. If a broken JWT passed for an opaque token, it might be sent to an
// introspection endpoint.
func beginsObject(header string) bool {
	var first [12]byte
	n, _ := base64.RawURLEncoding.Decode(first[:], []byte(header[:min(len(header), 16)]))
	text := trimStart(first[:n])
	if len(text) == 0 && len(header) > 16 {
		all, _ := base64.RawURLEncoding.DecodeString(header) // up to the first error
		text = trimStart(all)
	}
	return bytes.HasPrefix(text, []byte("{"))
}

// trimStart removes the whitespace that JSON allows before an object, and a byte
// order mark, which JSON does not allow.
func trimStart(text []byte) []byte {
	return bytes.TrimLeft(bytes.TrimPrefix(text, []byte("\ufeff")), " \t\r\n")
}

var strict = base64.RawURLEncoding.Strict()

// decode reads base64url without padding and accepts only its canonical form,
// because one token must not pass in two spellings (RFC 7515 §2, 8725bis §3.14).
// It rejects CR and LF, which even the strict decoder of the standard library
// skips.
func decode(to []byte, part string) (int, error) {
	if strings.IndexByte(part, '\r') >= 0 || strings.IndexByte(part, '\n') >= 0 {
		return 0, ErrMalformed
	}
	n, err := strict.Decode(to, []byte(part))
	if err != nil {
		return 0, ErrMalformed
	}
	return n, nil
}

func readHeader(raw string) (*Header, error) {
	h := new(Header)
	err := Object(raw, func(name, value string) error {
		switch name {
		case "alg":
			h.Algorithm, _ = String(value)
		case "kid":
			return h.readKeyID(value)
		case "typ":
			return h.readType(value)
		case "nonce":
			h.HasNonce = true
		case "cty":
			// A nested JWT (RFC 7519 §5.2) is never accepted as a plain JWT.
			if content, ok := String(value); !ok || isMediaType(content, "jwt") {
				return ErrType
			}
		case "crit", "b64", "zip", "enc":
			// No critical extension is supported (RFC 7515 §4.1.11), a JWT must
			// not have b64 (RFC 7797 §7), and zip and enc belong to JWE.
			return ErrType
		}
		return nil
	})
	switch {
	case errors.Is(err, ErrType):
		return nil, ErrType
	case err != nil:
		return nil, ErrMalformed
	}
	return h, nil
}

// clone copies the strings, because a substring would keep the whole JSON text
// alive; for example, x5c may be long.
func (h Header) clone() *Header {
	h.Algorithm, h.KeyID, h.Type = strings.Clone(h.Algorithm), strings.Clone(h.KeyID), strings.Clone(h.Type)
	return &h
}

func (h *Header) readKeyID(value string) (err error) {
	var ok bool
	if h.KeyID, ok = String(value); !ok || len(h.KeyID) > maxKeyID {
		return ErrMalformed
	}
	return nil
}

func (h *Header) readType(value string) (err error) {
	if h.Type, h.HasType = String(value); !h.HasType {
		return ErrType
	}
	return nil
}

// HasMediaType reports whether the header's typ is this media type, which the
// caller writes in lower case and without "application/". The case of typ does not
// matter, and its prefix is optional (RFC 7515 §4.1.9): for example,
// "Application/AT+JWT" matches "at+jwt".
func (h Header) HasMediaType(mediaType string) bool {
	return h.HasType && isMediaType(h.Type, mediaType)
}

func isMediaType(text, mediaType string) bool {
	const prefix = "application/"
	if len(text) > len(prefix) && strings.EqualFold(text[:len(prefix)], prefix) {
		text = text[len(prefix):]
	}
	return strings.EqualFold(text, mediaType)
}
