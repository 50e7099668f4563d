package dpop

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"sync/atomic"
	"time"
)

// nonces makes and checks nonces. A nonce is a time and a MAC over it, so nothing is
// stored, and instances with the same key accept each other's nonces. Time is
// divided into slots of half a lifetime, each with its own nonce. A nonce is valid
// in its own slot, in the two slots after it, and in the slot before it because
// another instance's clock may be ahead.
type nonces struct {
	of     func(slot int64) string // a closure, so that a printed Verifier does not show the key
	slot   time.Duration
	window atomic.Pointer[window]
}

const (
	slotsBefore = 2 // earlier slots whose nonces are still valid
	slotsAfter  = 1 // later slots whose nonces are valid already
)

// A window has the nonces that are valid in one slot, the oldest first.
type window struct {
	slot   int64
	nonces [slotsBefore + 1 + slotsAfter]string
}

// nonceLabel separates these MACs from all other MACs with the same key, for example
// in an authorization server's nonces (RFC 9449 §9).
const nonceLabel = "accesstoken: DPoP nonce of a resource server"

// newNonces returns nil if there is no key.
func newNonces(key []byte, lifetime time.Duration) *nonces {
	if key == nil {
		return nil
	}
	key, half := append([]byte(nil), key...), lifetime/2
	return &nonces{slot: half, of: func(slot int64) string {
		text := binary.BigEndian.AppendUint64([]byte(nonceLabel), uint64(half))
		text = binary.BigEndian.AppendUint64(text, uint64(slot))
		mac := hmac.New(sha256.New, key)
		mac.Write(text)
		nonce := binary.BigEndian.AppendUint64(nil, uint64(slot))
		return base64.RawURLEncoding.EncodeToString(append(nonce, mac.Sum(nil)[:16]...))
	}}
}

func (n *nonces) at(now time.Time) *window {
	slot := now.UnixMilli() / n.slot.Milliseconds()
	if w := n.window.Load(); w != nil && w.slot == slot {
		return w
	}
	w := &window{slot: slot}
	for i := range w.nonces {
		w.nonces[i] = n.of(slot - slotsBefore + int64(i))
	}
	n.window.Store(w)
	return w
}

// current returns the nonce to hand out.
func (n *nonces) current(now time.Time) string { return n.at(now).nonces[slotsBefore] }

// end reports whether a nonce is valid, and until when.
func (n *nonces) end(nonce string, now time.Time) (end time.Time, ok bool) {
	w := n.at(now)
	for i, good := range w.nonces {
		if subtle.ConstantTimeCompare([]byte(nonce), []byte(good)) == 1 {
			last := w.slot - slotsBefore + int64(i) + slotsBefore
			return time.UnixMilli((last + 1) * n.slot.Milliseconds()), true
		}
	}
	return time.Time{}, false
}
