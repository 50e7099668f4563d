package jwks

import (
	"cmp"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/MicahParks/jwkset"

	"github.com/accesstoken/accesstoken/internal/jose"
)

const (
	maxKeys   = 500 // in one document, and in doubt; usual documents have fewer than ten
	maxAnswer = 4   // keys for one question, because each can cost a verification
	maxKeyID  = 256 // bytes
)

// A question is what a key is looked up by: the kid and alg of a token.
type question struct{ kid, alg string }

// A keySet is immutable once other goroutines can read it.
type keySet struct {
	table      table   // under "": the keys for a token without kid
	unnamed    *record // the keys for a token with any kid, or nil: see servesAnyKid
	named      bool    // a published key has a kid
	entries    []entry
	identity   [sha256.Size]byte // a hash of the keys, whatever their order
	generation uint64
}

// An entry is a usable key.
type entry struct {
	kid    string
	algs   []string
	key    crypto.PublicKey
	der    string // PKIX form, to compare keys
	jwk    jwkset.JWK
	akp    *documentKey // if kty is AKP, which jwkset does not know; then jwk is zero
	issuer string       // the only issuer that may sign with the key, or "" if any may: see Cache.For
	lacked time.Time    // when the first answer without the key came; zero while it is published
	anyKid bool         // the key is in doubt, and was an answer for any kid before
}

var errNotForAlgorithm = fmt.Errorf("jwks: %w", jose.ErrAlgorithm)

// held returns the keys for q, or nil.
func (s *keySet) held(q question) []crypto.PublicKey {
	r := s.table.find(q.kid)
	if r == nil {
		r = s.unnamed
	}
	if r == nil {
		return nil
	}
	return r[number(q.alg)]
}

// find returns the keys for q. If there are none but the set has the token's kid, it
// returns an error. Otherwise it returns neither keys nor an error.
func (s *keySet) find(q question) ([]crypto.PublicKey, error) {
	if keys := s.held(q); keys != nil {
		return keys, nil
	}
	if q.kid != "" && (s.has(q.kid) || s.unnamed != nil && q.alg == "") { // a Storage has no alg, and unnamed keys serve any kid
		return nil, errNotForAlgorithm
	}
	return nil, nil
}

func (s *keySet) has(kid string) bool { return s.table.find(kid) != nil }

// generationOf returns the generation of set, or 0 if there is an error or no set.
func generationOf(set *keySet, err error) uint64 {
	if err != nil || set == nil {
		return 0
	}
	return set.generation
}

// newKeySet computes the answers to all questions in advance. The order of a set has no
// meaning (RFC 7517 §5), so entries are sorted to make equal sets identical.
func newKeySet(entries []entry) *keySet {
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(strings.Compare(a.kid, b.kid), strings.Compare(a.der, b.der), slices.Compare(a.algs, b.algs), strings.Compare(a.issuer, b.issuer))
	})
	s := &keySet{table: newTable(len(entries) + 1), entries: entries}
	s.named = slices.ContainsFunc(entries, func(e entry) bool { return e.kid != "" && !e.isDoubted() })
	all, unnamed := s.table.insert(""), new(record)
	for _, doubted := range []bool{false, true} { // published keys come first
		for _, e := range entries {
			if e.isDoubted() != doubted {
				continue
			}
			all.add(e)
			s.table.insert(e.kid).add(e)
			if s.servesAnyKid(e) {
				s.unnamed = unnamed
				unnamed.add(e)
			}
		}
		for _, e := range entries {
			s.table.insert(e.kid).join(unnamed)
		}
	}
	s.identity = identify(entries)
	return s
}

// servesAnyKid reports whether e, a key of the set, is a candidate for any kid. A
// published key is a candidate if no published key has a kid. A key in doubt is a
// candidate if it was one before the doubt.
func (s *keySet) servesAnyKid(e entry) bool {
	if e.isDoubted() {
		return e.anyKid
	}
	return !s.named
}

// keyOf returns one entry for kid that has a jwk, if the set has any. A published entry is
// returned rather than an entry in doubt, as in held.
func (s *keySet) keyOf(kid string) (e entry, ok bool) {
	for _, doubted := range []bool{false, true} {
		i := slices.IndexFunc(s.entries, func(e entry) bool {
			return e.akp == nil && e.isDoubted() == doubted && (e.kid == kid || s.servesAnyKid(e))
		})
		if i >= 0 {
			return s.entries[i], true
		}
	}
	return entry{}, false
}

func identify(sorted []entry) [sha256.Size]byte {
	var text []byte
	field := func(s string) { text = append(binary.AppendUvarint(text, uint64(len(s))), s...) }
	for i, e := range sorted {
		if i > 0 && e.equals(sorted[i-1]) {
			continue // a duplicate
		}
		field(e.kid)
		field(e.der)
		field(strings.Join(e.algs, " "))
		field(e.issuer)
	}
	return sha256.Sum256(text)
}

func (e entry) equals(other entry) bool {
	return e.kid == other.kid && e.der == other.der && e.issuer == other.issuer && slices.Equal(e.algs, other.algs)
}

// An omission is the reason why a key of a document is not used. It contains no value
// of the document, because that may be secret.
type omission struct {
	index  int
	reason error
}

func (o omission) String() string { return fmt.Sprintf("key %d: %v", o.index, o.reason) }

// expected reports whether the omission needs no warning: issuers publish keys for
// encryption next to keys for verification.
func (o omission) expected() bool { return errors.Is(o.reason, errUse) }

var (
	errObject = errors.New("it is not a JSON object whose members have their RFC 7517 types")
	errUse    = errors.New(`its use is not "sig"`)
	errKeyOps = errors.New(`its key_ops lack "verify" or repeat an operation`)
	errKeyID  = errors.New("its kid is longer than 256 bytes")
	errValues = errors.New("its key values are not base64url without padding, or do not have the length that its curve demands")
	errType   = errors.New("it is not RSA, EC on P-256, P-384 or P-521, Ed25519 or ML-DSA")
	errAlg    = errors.New("its alg is not a signature algorithm of its type and curve")
)

// readSet reads a JWK Set document (RFC 7517 §5).
func readSet(document []byte) (*keySet, []omission, error) {
	raw, err := split(string(document))
	if err != nil {
		return nil, nil, err
	}
	var entries []entry
	var left []omission
	for i, r := range raw {
		e, err := readKey(r)
		if err != nil {
			left = append(left, omission{i, err})
			continue
		}
		entries = append(entries, e)
	}
	if len(entries) == 0 {
		return nil, left, fmt.Errorf("the key set has no usable key%s", firstOf(left))
	}
	return newKeySet(entries), left, nil
}

func firstOf(left []omission) string {
	if len(left) == 0 {
		return ""
	}
	return ": " + left[0].String()
}

// split returns the elements of the member "keys".
func split(document string) (raw []string, err error) {
	found := false
	err = jose.Shell(document, func(name, value string) error {
		if name != "keys" {
			return nil
		}
		if found {
			return errors.New(`duplicate member "keys"`)
		}
		found = true
		raw, err = elements(value)
		return err
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("not a key set: %w", err)
	case !found:
		return nil, errors.New(`not a key set: the member "keys" is missing`)
	}
	return raw, nil
}

func elements(array string) (raw []string, err error) {
	raw, ok := jose.Elements(array) // readKey is strict
	switch {
	case !ok:
		return nil, errors.New(`expected an array in "keys"`)
	case len(raw) > maxKeys:
		return nil, fmt.Errorf("got %d keys; expected at most %d", len(raw), maxKeys)
	}
	return raw, nil
}

func readKey(raw string) (entry, error) {
	m, err := readMembers(raw)
	if err != nil {
		return entry{}, err
	}
	return entryOf(m)
}

// entryOf checks the members of a key, and makes the entry.
func entryOf(m documentKey) (entry, error) {
	if err := checkMembers(m.JWKMarshal); err != nil {
		return entry{}, err
	}
	if m.KTY == jose.AKP {
		return akpEntryOf(m)
	}
	if err := checkValues(m.JWKMarshal); err != nil {
		return entry{}, err
	}
	// SkipKeyOps, because jwkset refuses unregistered key_ops, which RFC 7517 §4.3 allows.
	key, err := jwkset.NewJWKFromMarshal(m.JWKMarshal, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{SkipKeyOps: true})
	if err != nil {
		return entry{}, jose.ErrKeyValues // jwkset's errors may quote values
	}
	e, err := newEntry(key.Key(), m.JWKMarshal)
	e.jwk, e.issuer = key, m.Issuer
	return e, err
}

// akpEntryOf makes the entry of a key whose kty is AKP.
func akpEntryOf(m documentKey) (entry, error) {
	key, err := jose.ReadAKP(m.ALG.String(), m.Pub)
	if err != nil {
		return entry{}, err
	}
	e, err := newEntry(key, m.JWKMarshal)
	e.akp, e.issuer = &m, m.Issuer
	return e, err
}

// A documentKey holds the members of a document's JWK that matter here.
type documentKey struct {
	jwkset.JWKMarshal
	Pub    string `json:"pub,omitempty"`    // RFC 9964
	Issuer string `json:"issuer,omitempty"` // not registered by IANA; used by Entra ID
}

// readMembers reads the members of a JWK that matter here, by their exact names.
// Certificates are ignored on purpose: certificates are not the reason why the keys are
// trusted, and if Go cannot parse a certificate, its key should still be used.
func readMembers(raw string) (documentKey, error) {
	var m documentKey
	var private error
	err := jose.Object(raw, func(name, value string) error {
		if value == "null" && name != "key_ops" { // some serializers write null for an absent member
			return nil
		}
		switch name {
		case "kty":
			return member(&m.KTY, value)
		case "use":
			return member(&m.USE, value)
		case "key_ops":
			return memberList(&m.KEYOPS, value)
		case "alg":
			return member(&m.ALG, value)
		case "kid":
			return member(&m.KID, value)
		case "crv":
			return member(&m.CRV, value)
		case "x":
			return member(&m.X, value)
		case "y":
			return member(&m.Y, value)
		case "n":
			return member(&m.N, value)
		case "e":
			return member(&m.E, value)
		case "pub":
			_ = member(&m.Pub, value) // read for AKP only; "" is no key
		case "issuer":
			m.Issuer = issuerOf(value)
		case "d", "p", "q", "dp", "dq", "qi", "oth", "priv": // RFC 7518 §6.2.2, §6.3.2; RFC 8037 §2; RFC 9964
			private = jose.ErrPrivate
		case "k": // RFC 7518 §6.4.1
			private = jose.ErrSymmetric
		}
		return nil
	})
	if err != nil {
		return m, errObject
	}
	return m, private
}

// issuerOf never fails, because only a View uses the issuer. If value is not a string,
// its JSON text is returned, which a View takes for a different issuer.
func issuerOf(value string) string {
	if text, ok := jose.String(value); ok {
		value = text
	}
	return strings.Clone(value) // the value would keep the whole document
}

func member[T ~string](to *T, value string) error {
	text, ok := jose.String(value)
	if !ok {
		return errObject
	}
	*to = T(strings.Clone(text)) // text would keep the whole document
	return nil
}

func memberList[T ~string](to *[]T, value string) error {
	texts, ok := jose.Strings(value)
	if !ok {
		return errObject
	}
	*to = []T{} // present, even if empty
	for _, text := range texts {
		*to = append(*to, T(strings.Clone(text)))
	}
	return nil
}

// checkMembers checks what a JWK declares: kty, crv, use, key_ops and kid (RFC 7517 §4).
func checkMembers(m jwkset.JWKMarshal) error {
	switch {
	case m.KTY == jwkset.KtyOct:
		return jose.ErrSymmetric
	case m.USE != "" && m.USE != jwkset.UseSig: // RFC 7517 §4.2
		return errUse
	case m.KEYOPS != nil && (!slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify) || repeats(m.KEYOPS)): // RFC 7517 §4.3
		return errKeyOps
	case len(m.KID) > maxKeyID:
		return errKeyID
	case !isType(m):
		return errType
	}
	return nil
}

func repeats[T comparable](values []T) bool {
	for i, value := range values {
		if slices.Contains(values[:i], value) {
			return true
		}
	}
	return false
}

// checkValues checks that the numbers of a key have the only form that RFC 7518 §6 and RFC
// 8037 §2 allow: base64url without padding or white space (RFC 7515 §2), and coordinates
// of the full length of their curve. The values of an RSA key can have leading zeros,
// because some issuers write them.
func checkValues(m jwkset.JWKMarshal) error {
	switch m.KTY {
	case jwkset.KtyRSA:
		return cmp.Or(checkValue(m.N, 0), checkValue(m.E, 0))
	case jwkset.KtyEC:
		size := map[jwkset.CRV]int{jwkset.CrvP256: 32, jwkset.CrvP384: 48, jwkset.CrvP521: 66}[m.CRV]
		return cmp.Or(checkValue(m.X, size), checkValue(m.Y, size))
	}
	return checkValue(m.X, ed25519.PublicKeySize)
}

// checkValue checks that value is base64url of size bytes. If size is 0, any number of
// bytes is accepted.
func checkValue(value string, size int) error {
	raw, err := jose.Base64(value)
	if err != nil || size != 0 && len(raw) != size {
		return errValues
	}
	return nil
}

func isType(m jwkset.JWKMarshal) bool {
	switch m.KTY {
	case jwkset.KtyRSA:
		return true
	case jwkset.KtyEC:
		return m.CRV == jwkset.CrvP256 || m.CRV == jwkset.CrvP384 || m.CRV == jwkset.CrvP521
	case jwkset.KtyOKP:
		return m.CRV == jwkset.CrvEd25519
	case jwkset.KTY(jose.AKP):
		return true
	}
	return false
}

// newEntry binds a key to its algorithms: all that its type and curve allow or, if the JWK
// declares one of these, only the declared algorithm (RFC 7517 §4.4, RFC 8725 §3.1). If
// the JWK declares any other, newEntry returns an error. For example, an Ed25519 key that
// declares "EdDSA" does not verify "Ed25519" (RFC 9864).
func newEntry(key crypto.PublicKey, m jwkset.JWKMarshal) (entry, error) {
	algs, err := algorithms(key)
	if err != nil {
		return entry{}, err
	}
	if m.ALG != "" {
		if !slices.Contains(algs, m.ALG.String()) {
			return entry{}, errAlg
		}
		algs = []string{m.ALG.String()}
	}
	der, err := x509.MarshalPKIXPublicKey(key) // refuses points off the curve
	if err != nil {
		return entry{}, jose.ErrKeyValues
	}
	return entry{kid: m.KID, algs: algs, key: key, der: string(der)}, nil
}

// algorithms returns the algorithms that a key may verify. If there are none, it
// returns an error with the reason.
func algorithms(key crypto.PublicKey) (algs []string, err error) {
	if err := jose.CheckKey(key); err != nil {
		return nil, err
	}
	for _, alg := range jose.Algorithms() {
		if jose.Fits(alg, key) {
			algs = append(algs, alg)
		}
	}
	if algs == nil {
		return nil, errType
	}
	return algs, nil
}
