package dpop

import (
	"context"
	"errors"
	"reflect"
	"time"
)

// A Store remembers which proofs were used. It must be safe for concurrent use.
type Store interface {
	// Use reports whether this is the first use of the Key, and remembers the Key
	// until Until. It must do both in one atomic step, so that only one of many
	// concurrent calls is the first. If it returns an error, the proof is refused.
	// Use should return when ctx ends. ctx ends a second after the call at the
	// latest.
	//
	// For example, Redis needs one command: SET key 1 NX PX milliseconds, with the
	// hexadecimal Key and the milliseconds from Now to Until.
	Use(ctx context.Context, use Use) (first bool, err error)
}

// A Use is a proof that is about to be accepted.
type Use struct {
	_ [0]func()

	Key    [32]byte  // a digest of the proof's key, URL and jti
	Client [16]byte  // a digest of the proof's key, for limits on what one client may fill
	Until  time.Time // from then on the proof is refused without the Store
	Now    time.Time // by the Verifier's clock
}

// storeTimeout limits a call of any Store that is not a Memory.
const storeTimeout = time.Second

// use accepts the proof only if this is its first use.
func (v *Verifier) use(ctx context.Context, use Use) error {
	first, err := v.first(ctx, use)
	switch {
	case err != nil:
		return &storeError{err}
	case !first:
		return ErrReplayed
	}
	return nil
}

// wouldUse answers as use would now, without using the proof up. Only a Memory can be asked
// so; any other Store is taken to say that the use is the first.
func (v *Verifier) wouldUse(use Use) error {
	if m, here := v.store.(*Memory); here && m.has(use) {
		return ErrReplayed
	}
	return nil
}

var errPanicked = errors.New("the Store panicked")

func (v *Verifier) first(ctx context.Context, use Use) (first bool, err error) {
	defer func() {
		if recover() != nil {
			first, err = false, errPanicked
		}
	}()
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if _, here := v.store.(*Memory); !here {
		bounded, cancel := context.WithTimeout(ctx, storeTimeout)
		defer cancel()
		ctx = bounded
	}
	return v.store.Use(ctx, use)
}

// A storeError is ErrStore with the Store's error. Even if the Store's error matches
// another kind of this package, the storeError matches ErrStore only.
type storeError struct{ cause error }

func (e *storeError) Error() string { return ErrStore.Error() + ": " + e.cause.Error() }

func (e *storeError) Is(target error) bool { return target == ErrStore }

func (e *storeError) Unwrap() error {
	for _, kind := range []error{ErrProof, ErrKey, ErrReplayed, ErrNonce} {
		if errors.Is(e.cause, kind) {
			return nil
		}
	}
	return e.cause
}

// checkStore rejects a Store that is a nil pointer, for example a nil *Memory.
func checkStore(store Store) error {
	if v := reflect.ValueOf(store); store != nil && v.Kind() == reflect.Pointer && v.IsNil() {
		return errors.New("the value is a nil pointer; leave Store unset for a Memory, or make one with NewMemory")
	}
	return nil
}
