// Package panics describes recovered panics without repeating their values.
package panics

import (
	"fmt"
	"runtime"
)

// Describe returns what a recovered value may tell a log or an error: the text
// of a runtime error, which only the Go runtime writes, and of everything else
// the type. Code that handles a token, such as a hook, can panic with that token.
func Describe(recovered any) string {
	if err, ok := recovered.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("with a %T", recovered)
}
