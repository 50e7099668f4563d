// Package jose reads compact JWS tokens and JSON strictly: bytes in, header
// and claims out. What it returns is not to be believed before [Verify] has
// said yes.
package jose

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"unsafe"
)

// The kinds of refusal; every error of this package matches one of them.
var (
	ErrNotJWT    = errors.New("the token does not have the form of a JWT")
	ErrMalformed = errors.New("the JWT is malformed")
	ErrType      = errors.New("the JWT is of a kind that is not accepted")
	ErrAlgorithm = errors.New("the key is there, but not for this algorithm")
	ErrSignature = errors.New("the signature is wrong")
)

// Bounds of a header; RFC 7515 sets none.
const (
	maxHeader = 4096
	maxKeyID  = 256
)

// A Token is a JWT in compact serialization, taken apart and not yet verified.
type Token struct {
	*Header             // shared by the tokens that have it; nobody writes to it
	SigningInput string // header and payload as they came (RFC 7515 §5.2)
	Payload      string
	Signature    []byte

	raw          string
	headerLength int // in raw
}

// A Header is what a JOSE header says, as far as it is of use here. Members
// that name or carry keys (jku, jwk, x5u, x5c, x5t) are deliberately not among
// it: they never choose a key (RFC 8725 §3.10).
type Header struct {
	Algorithm string // "" when the member is absent or no string
	KeyID     string
	Type      string
	HasType   bool
	HasNonce  bool // as tokens for Microsoft Graph have: their signature is none over what is sent
}

// Parse takes a token apart. It returns [ErrNotJWT] for what does not have the
// form of a JWT: three parts, the first of which begins an encoded JSON object.
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

// Begin reads the header only, or recalls it: what the header says may be reason
// enough to read no further. [Token.Open] reads the rest.
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

// Open decodes the payload and the signature, into one piece of memory.
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

// text returns bytes that nobody writes to any more as a string.
func text(raw []byte) string { return unsafe.String(unsafe.SliceData(raw), len(raw)) }

// PayloadAt returns where the encoded payload begins and ends in the token. A token
// of 64 KiB, the largest that callers hand over, fits: the payload ends before the
// second dot, which is at 65535 at the latest.
func (t *Token) PayloadAt() [2]uint16 {
	return [2]uint16{uint16(t.headerLength + 1), uint16(len(t.SigningInput))}
}

// beginsObject looks at the first bytes of an encoded header, leniently: a JWT
// that is broken further on is a broken JWT, and not an opaque token that might
// be shown to somebody.
func beginsObject(header string) bool {
	var first [12]byte
	n, _ := base64.RawURLEncoding.Decode(first[:], []byte(header[:min(len(header), 16)]))
	text := trimStart(first[:n])
	if len(text) == 0 && len(header) > 16 {
		all, _ := base64.RawURLEncoding.DecodeString(header) // as far as it goes
		text = trimStart(all)
	}
	return bytes.HasPrefix(text, []byte("{"))
}

// trimStart takes away what may stand before an object, or should not and does.
func trimStart(text []byte) []byte {
	return bytes.TrimLeft(bytes.TrimPrefix(text, []byte("\ufeff")), " \t\r\n")
}

var strict = base64.RawURLEncoding.Strict()

// decode reads base64url without padding, in its only spelling: two spellings
// of one token must not both pass (RFC 7515 §2, 8725bis §3.14). Even the
// strict decoder of the standard library skips CR and LF.
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
			// A nested JWT (RFC 7519 §5.2) is never taken for a plain one.
			if content, ok := String(value); !ok || isMediaType(content, "jwt") {
				return ErrType
			}
		case "crit", "b64", "zip", "enc":
			// No critical extension is understood here (RFC 7515 §4.1.11), no
			// JWT may have b64 (RFC 7797 §7), and the others belong to JWE.
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

// clone returns a header that is kept without what stood around it: x5c may be
// long.
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

// HasMediaType reports whether the header's typ is this media type, written
// without "application/" and in lower case. typ is compared without regard to
// case, and its prefix may be left out (RFC 7515 §4.1.9).
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
