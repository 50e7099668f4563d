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

// Nonces are made of the time and a MAC over it: nothing is stored, and instances
// with one key agree. Time goes in slots of half a lifetime, each with a nonce. One
// is good in its own slot and the two after it, and in the one before: another
// instance's clock may be ahead.
type nonces struct {
	of     func(slot int64) string // hides the key from who prints a Verifier
	slot   time.Duration
	window atomic.Pointer[window]
}

const (
	slotsBefore = 2 // whose nonces are still good
	slotsAfter  = 1 // whose nonces are good already
)

// A window has the nonces that are good in one slot, the oldest first.
type window struct {
	slot   int64
	nonces [slotsBefore + 1 + slotsAfter]string
}

// nonceLabel keeps these MACs apart from all others, such as the nonces of an
// authorization server that was given the same key (RFC 9449 §9).
const nonceLabel = "accesstoken: DPoP nonce of a resource server"

// newNonces returns nil without a key.
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

// current is the nonce to give away.
func (n *nonces) current(now time.Time) string { return n.at(now).nonces[slotsBefore] }

// end tells until when a nonce is good, and whether it is one.
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
