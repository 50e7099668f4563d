package accesstoken

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync/atomic"
)

// shared lets facts with equal texts share their memory, because thousands of tokens
// have a handful of audiences, clients and scopes. It is a bounded cache with one
// place for each hash, which the latest short text takes. It is safe for concurrent
// use.
type shared struct {
	seed  maphash.Seed
	texts [512]atomic.Pointer[string]
	lists [128]atomic.Pointer[[]string]
}

// longestShared is the most bytes of a text or list that is kept for later tokens. A
// reused text is charged only to the token that brought it first, although later
// tokens may keep it alive longer.
const longestShared = 128

func newShared() *shared { return &shared{seed: maphash.MakeSeed()} }

// text returns a copy of the text, which other tokens may share. own is its size in bytes
// if this token is the first to have it, and otherwise 0.
func (s *shared) text(text string) (kept string, own int) {
	place := &s.texts[maphash.String(s.seed, text)%uint64(len(s.texts))]
	if held := place.Load(); held != nil && *held == text {
		return *held, 0
	}
	copied := strings.Clone(text)
	if len(text) <= longestShared {
		place.Store(&copied)
	}
	return copied, len(text)
}

// list does for a list of texts what text does for one text.
func (s *shared) list(list []string) (kept []string, own int) {
	if list == nil {
		return nil, 0
	}
	var hash maphash.Hash
	hash.SetSeed(s.seed)
	for _, text := range list {
		_, _ = hash.WriteString(text) // never fails
	}
	place := &s.lists[hash.Sum64()%uint64(len(s.lists))]
	if held := place.Load(); held != nil && slices.Equal(*held, list) {
		return *held, 0
	}
	copied := make([]string, len(list))
	for i := range list {
		copied[i] = strings.Clone(list[i])
		own += 16 + len(list[i])
	}
	if own <= longestShared {
		place.Store(&copied)
	}
	return copied, own
}
