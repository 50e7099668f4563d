// Package panics describes recovered panics without repeating their values.
package panics

import (
	"fmt"
	"runtime"
)

// Describe returns a text for a recovered value that is safe to log. If the value is a
// runtime error, the result is the error's text, which only the Go runtime writes.
// Otherwise the result is only the value's type, because code that handles a token, for
// example a hook, can panic with that token.
func Describe(recovered any) string {
	if err, ok := recovered.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("with a %T", recovered)
}
