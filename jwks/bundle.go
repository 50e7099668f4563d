package jwks

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// A Bundle holds the keys with which one SPIFFE trust domain signs JWT-SVIDs. Create
// one with [ReadBundle] or [ReadWorkloadBundle]. It never changes, and is safe for
// concurrent use.
type Bundle struct {
	set      *keySet
	left     []omission
	hint     time.Duration
	sequence uint64

	sequenced bool // spiffe_sequence is there
}

const (
	maxBundle = 1 << 20 // bytes
	useSVID   = "jwt-svid"
)

var errNoBundle = errors.New("jwks: the bundle was not made by ReadBundle or ReadWorkloadBundle")

// ReadBundle reads a SPIFFE bundle (SPIFFE Trust Domain and Bundle §4), for example
// from a file or from the bundle endpoint of a trust domain. Only keys with use
// "jwt-svid" and a kid are used. All other conditions of the package doc hold as well.
//
// A bundle can have no such key. Then Keys finds none, because every JWT-SVID of the
// trust domain is untrusted (JWT-SVID §6.2). ReadBundle returns an error if the document
// is not a bundle, and in that case a bundle that is held should be kept.
func ReadBundle(document []byte) (*Bundle, error) { return readBundle(document, false) }

// ReadWorkloadBundle reads what the SPIFFE Workload API sends for a trust domain: a key
// set that has nothing but keys for JWT-SVIDs (SPIFFE Workload API §6.2.2). It differs
// from [ReadBundle] in that keys without use count as well, because SPIRE leaves use out
// there. Keys with another use, such as "x509-svid", are not used.
func ReadWorkloadBundle(document []byte) (*Bundle, error) { return readBundle(document, true) }

func readBundle(document []byte, useMayBeAbsent bool) (*Bundle, error) {
	if len(document) > maxBundle {
		return nil, fmt.Errorf("jwks: the bundle has more than %d bytes", maxBundle)
	}
	b := &Bundle{}
	raw, err := b.split(string(document))
	if err != nil {
		return nil, fmt.Errorf("jwks: %w", err)
	}
	var entries []entry
	for i, r := range raw {
		e, err := readBundleKey(r, useMayBeAbsent)
		if err != nil {
			b.left = append(b.left, omission{i, err})
			continue
		}
		entries = append(entries, e)
	}
	b.set = newKeySet(entries)
	b.set.generation = 1
	return b, nil
}

// split returns the elements of "keys", and reads the other members of a bundle. If one
// of these has the wrong type, the document is not a bundle.
func (b *Bundle) split(document string) ([]string, error) {
	raw, err := split(document)
	if err != nil {
		return nil, err
	}
	err = jose.Shell(document, func(name, value string) error {
		switch name {
		case "spiffe_sequence":
			return b.readSequence(value)
		case "spiffe_refresh_hint":
			return b.readHint(value)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("not a bundle: %w", err)
	}
	return raw, nil
}

func (b *Bundle) readSequence(value string) (err error) {
	digits, _ := jose.Integer(value)
	if b.sequence, err = strconv.ParseUint(digits, 10, 64); err != nil {
		return errors.New("spiffe_sequence is not an integer from 0 to 2^64 - 1")
	}
	b.sequenced = true
	return nil
}

func (b *Bundle) readHint(value string) error {
	digits, _ := jose.Integer(value)
	seconds, err := strconv.ParseUint(digits, 10, 32)
	if err != nil {
		return errors.New("spiffe_refresh_hint is not a number of seconds from 0 to 2^32 - 1")
	}
	b.hint = time.Duration(seconds) * time.Second
	return nil
}

var (
	errUseSVID = errors.New(`its use is not "jwt-svid"`)
	errNoKeyID = errors.New("it has no kid")
)

// readBundleKey reads a key of a bundle. Its use is checked here, and the rest as in
// any key set.
func readBundleKey(raw string, useMayBeAbsent bool) (entry, error) {
	m, err := readMembers(raw)
	switch {
	case err != nil:
		return entry{}, err
	case m.USE != useSVID && (m.USE != "" || !useMayBeAbsent):
		return entry{}, errUseSVID
	case m.KID == "":
		return entry{}, errNoKeyID
	}
	m.USE = ""
	e, err := entryOf(m)
	e.issuer = ""
	return e, err
}

// Keys returns the keys for a token with this kid and alg, as [Cache.Keys] does. If the
// bundle has no key for this kid, there are no keys and no error. generation is 1, or 0
// if there is an error.
func (b *Bundle) Keys(_ context.Context, kid, alg string) (keys []crypto.PublicKey, generation uint64, err error) {
	switch {
	case b.set == nil:
		return nil, 0, errNoBundle
	case !jose.Supported(alg):
		return nil, 0, errNotForAlgorithm
	}
	keys, err = b.set.find(question{kid, alg})
	return keys, generationOf(b.set, err), err
}

// Len returns the number of usable keys.
func (b *Bundle) Len() int {
	if b.set == nil {
		return 0
	}
	return len(b.set.entries)
}

// Equal reports whether both bundles have the same keys, in any order.
func (b *Bundle) Equal(other *Bundle) bool {
	return b.set != nil && other.set != nil && b.set.identity == other.set.identity
}

// Sequence returns spiffe_sequence, which grows with each change of the bundle. If the
// bundle has none, ok is false.
func (b *Bundle) Sequence() (number uint64, ok bool) { return b.sequence, b.sequenced }

// RefreshHint returns spiffe_refresh_hint, after which the trust domain suggests to read
// the bundle again. It is 0 if the bundle has none.
func (b *Bundle) RefreshHint() time.Duration { return b.hint }

// Omitted says which keys were left out although their use does not say that they are
// for something else, or returns nil. The error has no value of the document.
func (b *Bundle) Omitted() error {
	var found []error
	for _, o := range b.left {
		if !errors.Is(o.reason, errUseSVID) {
			found = append(found, fmt.Errorf("jwks: %v", o))
		}
	}
	return errors.Join(found...)
}

// Err returns an error if the bundle was not read, or has no usable key. Then it cannot
// be the Keys of an issuer by itself.
func (b *Bundle) Err() error {
	switch {
	case b.set == nil:
		return errNoBundle
	case b.Len() == 0:
		return fmt.Errorf("jwks: the bundle has no usable key%s", firstOf(b.left))
	}
	return nil
}
