package jose

import (
	"maps"
	"strings"
	"sync/atomic"
)

// Headers remembers headers that have stood over a good signature: an issuer
// writes one for each of its keys, and reading it is a good part of the work that
// is not the signature. The zero Headers remembers none yet. It is safe for
// concurrent use.
type Headers struct {
	known atomic.Pointer[map[string]*Header] // by what stands in the token; never changed, only replaced
}

// maxHeaders bounds what an issuer that writes a new header each time can fill.
const maxHeaders = 64

// Remember keeps the header of a token whose signature is good, and returns the one
// to keep with what is known of the token.
func (h *Headers) Remember(token *Token) *Header {
	text := token.raw[:token.headerLength]
	known := h.known.Load()
	if known != nil && (*known)[text] != nil {
		return (*known)[text]
	}
	header := token.Header.clone()
	if known != nil && len(*known) >= maxHeaders {
		return header
	}
	more := map[string]*Header{}
	if known != nil {
		maps.Copy(more, *known)
	}
	more[strings.Clone(text)] = header // a part of the token would keep all of it
	h.known.CompareAndSwap(known, &more)
	return header
}

// read returns the header as it was read before, or reads it.
func (h *Headers) read(header string) (*Header, error) {
	if known := h.known.Load(); known != nil {
		if held, ok := (*known)[header]; ok {
			return held, nil
		}
	}
	if !beginsObject(header) {
		return nil, ErrNotJWT
	}
	if strict.DecodedLen(len(header)) > maxHeader {
		return nil, ErrMalformed
	}
	raw := make([]byte, strict.DecodedLen(len(header)))
	n, err := decode(raw, header)
	if err != nil {
		return nil, ErrMalformed
	}
	return readHeader(text(raw[:n]))
}
