package main

import (
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// pin binds this process to one core if there are at least two, and reports whether it
// did. If it did not, the system may move client and server between the cores, so that
// they share one for a while.
func pin(place int) bool {
	var allowed, one unix.CPUSet
	if unix.SchedGetaffinity(0, &allowed) != nil || allowed.Count() < 2 {
		return false
	}
	for core := 0; one.Count() == 0; core++ {
		if !allowed.IsSet(core) {
			continue
		}
		if place == 0 {
			one.Set(core)
		}
		place--
	}
	for range 2 { // the first pass may miss a thread that starts during it
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return false
		}
		for _, thread := range threads {
			id, err := strconv.Atoi(thread.Name())
			if err == nil {
				err = unix.SchedSetaffinity(id, &one)
			}
			if err != nil && err != unix.ESRCH { // ESRCH: the thread has ended
				return false
			}
		}
	}
	return true
}

// used returns the processor time of this process, the system's part included, or
// zero if it is unknown.
func used() time.Duration {
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
