//go:build !linux

package main

import "time"

// pin does nothing, because other systems than Linux have a different call for this or
// do not have one.
func pin(int) bool { return false }

// used returns zero, which means unknown.
func used() time.Duration { return 0 }
