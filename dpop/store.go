package dpop

import (
	"context"
	"errors"
	"reflect"
	"time"
)

// A Store remembers which proofs were used. It must be safe for concurrent use.
type Store interface {
	// Use reports whether this is the first use under its Key, and remembers it
	// until Until: in one step, so that of many at once only one is the first. An
	// error means that it could not be found out, and the proof is refused. Use
	// should return when ctx ends.
	//
	// With Redis it is one command: SET key 1 NX PX, with the hexadecimal Key and
	// the milliseconds from Now to Until.
	Use(ctx context.Context, use Use) (first bool, err error)
}

// A Use is a proof that is about to be accepted.
type Use struct {
	_ [0]func()

	Key    [32]byte  // a digest of the proof's key, URL and jti
	Client [16]byte  // a digest of the proof's key, for limits on what one client may fill
	Until  time.Time // the proof is refused without the Store from then on
	Now    time.Time // by the Verifier's clock
}

// checkStore finds a store that is none, such as a nil *Memory.
func checkStore(store Store) error {
	if v := reflect.ValueOf(store); store != nil && v.Kind() == reflect.Pointer && v.IsNil() {
		return errors.New("it is a nil pointer; leave it nil for a Memory, or make one with NewMemory")
	}
	return nil
}
