package conformance

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

// earth is the world that all tests use, and rpc is its gRPC server.
var (
	earth *world
	rpc   caller
)

// adapters are those of this module.
func adapters() []Adapter {
	return []Adapter{NetHTTP(), HTTP("Echo", protectEcho), overGRPC(&rpc)}
}

// TestConformance plays every case on every transport.
func TestConformance(t *testing.T) {
	earth.playAll(t, func(vector) bool { return true })
}

// only keeps the transports that speak HTTP, or those that do not.
func (w *world) only(http bool) (some []transport) {
	for _, one := range w.transports {
		if one.http == http {
			some = append(some, one)
		}
	}
	return some
}

func TestMain(m *testing.M) {
	if os.Getenv(inFIPSMode) != "" {
		if err := verifyInFIPSMode(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	before := runtime.NumGoroutine()
	earth = newWorld(adapters()...)
	code := m.Run()
	earth.close()
	if code == 0 && !settles(before) {
		fmt.Fprintf(os.Stderr, "got %d goroutines at the end; want the %d of the start\n", runtime.NumGoroutine(), before)
		code = 1
	}
	os.Exit(code)
}

// settles waits for goroutines that are about to end.
func settles(want int) bool {
	deadline := time.Now().Add(5 * time.Second)
	for runtime.NumGoroutine() > want {
		if time.Now().After(deadline) {
			return false
		}
		runtime.Gosched()
	}
	return true
}
