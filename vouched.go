package accesstoken

import (
	"sync"
	"weak"
)

// vouched are the issuers that stand behind identities. An issuer is kept for as long as
// claims refer to it, so that their number is bounded by what is in use, whatever names the
// application chooses.
type vouched struct {
	mu    sync.Mutex
	byKey map[vouchedKey]weak.Pointer[issuer]
	sweep int // the length of byKey at which entries without an issuer are removed
}

type vouchedKey struct {
	by   *face
	name string
}

// issuer returns the issuer of a name. If it does not exist yet, or was taken out of use,
// create makes it.
func (s *vouched) issuer(by *face, name string, create func(string) *issuer) *issuer {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := vouchedKey{by, name}
	if i := s.byKey[key].Value(); i != nil && !i.removed.Load() {
		return i
	}
	if len(s.byKey) >= s.sweep {
		s.clean()
	}
	i := create(name)
	s.byKey[key] = weak.Make(i)
	return i
}

// clean removes the entries whose issuer nothing refers to any more. It must be called with
// mu held.
func (s *vouched) clean() {
	kept := map[vouchedKey]weak.Pointer[issuer]{}
	for key, pointer := range s.byKey {
		if pointer.Value() != nil {
			kept[key] = pointer
		}
	}
	s.byKey, s.sweep = kept, 2*len(kept)+16
}

// end takes out of use the issuers whose names are now those of others.
func (s *vouched) end(isTaken func(name string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, pointer := range s.byKey {
		if i := pointer.Value(); i != nil && isTaken(key.name) {
			i.end()
		}
	}
}
