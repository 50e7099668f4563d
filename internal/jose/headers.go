package jose

import (
	"maps"
	"strings"
	"sync/atomic"
)

// Headers caches the headers of tokens whose signature was good. An issuer usually
// writes one header for each of its keys, and apart from the signature, reading it
// is a large part of the work. The zero Headers is empty and ready to use. A
// Headers is safe for concurrent use.
type Headers struct {
	known atomic.Pointer[map[string]*Header] // by the encoded header; the map is replaced, never changed
}

// maxHeaders bounds the cache if an issuer writes a new header into each token.
const maxHeaders = 64

// Remember caches the header of a token and returns the copy that the caller should
// keep. The caller must have verified the signature.
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
	more[strings.Clone(text)] = header // a substring would keep the whole token alive
	h.known.CompareAndSwap(known, &more)
	return header
}

// read returns the header from the cache. If the cache does not have it, read
// parses it.
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
