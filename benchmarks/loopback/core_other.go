//go:build !linux

package main

import "time"

// pin does nothing: systems other than Linux have no such call, or another.
func pin(int) bool { return false }

// used returns zero, which is not known.
func used() time.Duration { return 0 }
