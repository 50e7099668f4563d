package dpop_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/dpop"
)

// useOf returns the use of a numbered proof of a numbered client, good for a minute.
func useOf(proof, client int, now time.Time) (use dpop.Use) {
	binary.BigEndian.PutUint64(use.Key[:], uint64(proof)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(use.Key[8:], uint64(proof))
	binary.BigEndian.PutUint64(use.Client[:], uint64(client))
	use.Now, use.Until = now, now.Add(time.Minute)
	return use
}

func try(m *dpop.Memory, use dpop.Use) string {
	switch first, err := m.Use(context.Background(), use); {
	case err != nil:
		return err.Error()
	case first:
		return "first"
	}
	return "seen"
}

// M32: a full Memory refuses, and forgets nothing that is still good.
func TestAFullMemoryFailsClosed(t *testing.T) {
	m := dpop.NewMemory(64)
	for n := range 64 {
		if got := try(m, useOf(n, n, start)); got != "first" {
			t.Fatalf("proof %d: got %s; want first", n, got)
		}
	}
	for n := range 64 {
		if got := try(m, useOf(n, n, start.Add(60*time.Second))); got != "seen" {
			t.Errorf("proof %d: got %s; want seen", n, got)
		}
	}
	if got := try(m, useOf(64, 64, start.Add(60*time.Second))); !strings.Contains(got, "full") {
		t.Errorf("one too many: got %s; want that it is full", got)
	}
	if got := try(m, useOf(64, 64, start.Add(61*time.Second))); got != "first" {
		t.Errorf("after a minute: got %s; want first", got)
	}
	if proofs, clients := dpop.Held(m); proofs != 1 || clients != 1 {
		t.Errorf("got %d proofs of %d clients; want one", proofs, clients)
	}
}

// One client that is valid and busy, or worse, leaves room for the others.
func TestAClientHasAShare(t *testing.T) {
	m := dpop.NewMemory(160)
	for n := range 10 {
		if got := try(m, useOf(n, 1, start)); got != "first" {
			t.Fatalf("proof %d: got %s; want first", n, got)
		}
	}
	if got := try(m, useOf(10, 1, start)); !strings.Contains(got, "client") {
		t.Errorf("the eleventh: got %s; want that it is too many for a client", got)
	}
	if got := try(m, useOf(10, 2, start)); got != "first" {
		t.Errorf("another client: got %s; want first", got)
	}
	if got := try(m, useOf(3, 1, start)); got != "seen" {
		t.Errorf("the third again: got %s; want seen", got)
	}
	if got := try(m, useOf(11, 1, start.Add(61*time.Second))); got != "first" {
		t.Errorf("after a minute: got %s; want first", got)
	}
	if got := try(dpop.NewMemory(1), useOf(1, 1, start)); got != "first" {
		t.Errorf("a Memory for one: got %s; want first", got)
	}
}

// A clock that goes back brings no proof back to life.
func TestAClockThatGoesBack(t *testing.T) {
	m := dpop.NewMemory(0)
	try(m, useOf(1, 1, start))
	try(m, useOf(2, 1, start.Add(time.Hour)))
	if got := try(m, useOf(1, 1, start)); !strings.Contains(got, "clock") {
		t.Errorf("got %s; want that the clock went back", got)
	}
	if got := try(m, useOf(3, 1, start.Add(time.Hour-time.Minute))); got != "first" {
		t.Errorf("not further back than a proof is good: got %s; want first", got)
	}
	if got := try(m, useOf(4, 1, start.Add(time.Hour-61*time.Second))); !strings.Contains(got, "clock") {
		t.Errorf("a second further: got %s; want that the clock went back", got)
	}
}

// A flood that has ended is forgotten a few proofs at a time, so that no request waits
// for all of it.
func TestAFloodThatEndedIsForgottenInPieces(t *testing.T) {
	const flood = 100_000
	m := dpop.NewMemory(flood + 10)
	for n := range flood {
		if got := try(m, useOf(n, n, start)); got != "first" {
			t.Fatalf("proof %d: got %s; want first", n, got)
		}
	}
	later := start.Add(61 * time.Second)
	for held, uses := flood, 1; held > uses; uses++ {
		if got := try(m, useOf(flood+uses, uses, later)); got != "first" {
			t.Fatalf("use %d after the flood: got %s; want first", uses, got)
		}
		before := held + 1
		held, _ = dpop.Held(m)
		if forgotten := before - held; forgotten > 256 || forgotten < 1 {
			t.Fatalf("use %d after the flood: got %d proofs forgotten; want a few", uses, forgotten)
		}
	}
	proofs, clients := dpop.Held(m)
	if proofs > flood/10 || proofs != clients {
		t.Errorf("got %d proofs of %d clients held in the end; want those of the uses since", proofs, clients)
	}
}

// What has ended and is not forgotten yet refuses nothing: neither the room that it
// takes, nor its client's share, nor its jti.
func TestWhatEndedRefusesNothingWhileItIsBeingForgotten(t *testing.T) {
	const most, share = 16_000, 1_000
	full := func() *dpop.Memory {
		m := dpop.NewMemory(most)
		for n := range most {
			if got := try(m, useOf(n, n/share, start)); got != "first" {
				t.Fatalf("proof %d: got %s; want first", n, got)
			}
		}
		return m
	}
	later := start.Add(61 * time.Second)
	for n := range most / share {
		m := full()
		for proof := range share {
			if got := try(m, useOf(most+proof, n, later)); got != "first" {
				t.Fatalf("proof %d of client %d, whose share was full: got %s; want first", proof, n, got)
			}
		}
		if got := try(m, useOf(2*most, n, later)); !strings.Contains(got, "sixteenth") {
			t.Errorf("client %d, beyond its share: got %s; want that it is too much", n, got)
		}
	}
	for _, proof := range []int{0, 1, most / 2, most - 1} {
		if got := try(full(), useOf(proof, 0, later)); got != "first" {
			t.Errorf("jti %d again: got %s; want first", proof, got)
		}
	}
}

// A request that is given up does not go on forgetting for the others.
func TestForgettingEndsWithItsRequest(t *testing.T) {
	m := dpop.NewMemory(10_000)
	for n := range 10_000 {
		try(m, useOf(n, n, start))
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	late := useOf(1, 1, start)
	late.Now = start.Add(61 * time.Second)
	if first, err := m.Use(ctx, late); first || !errors.Is(err, context.Canceled) {
		t.Errorf("got %t, %v; want %v", first, err, context.Canceled)
	}
	if first, err := m.Use(context.Background(), late); first || err == nil || !strings.Contains(err.Error(), "clock") {
		t.Errorf("got %t, %v; want that the clock went back", first, err)
	}
}

// Many that meet what has ended at once forget it together, and accept each proof once.
func TestManyForgetTogether(t *testing.T) {
	const most = 32_000
	m := dpop.NewMemory(most)
	for n := range most {
		try(m, useOf(n, n, start))
	}
	var first atomic.Int64
	var wait sync.WaitGroup
	for worker := range 8 {
		wait.Go(func() {
			for n := range 1_000 {
				use := useOf(n, worker, start.Add(61*time.Second))
				switch ok, err := m.Use(context.Background(), use); {
				case err != nil:
					t.Error(err)
				case ok:
					first.Add(1)
				}
			}
		})
	}
	wait.Wait()
	if proofs, _ := dpop.Held(m); first.Load() != 1_000 || proofs != 1_000 {
		t.Errorf("got %d first and %d held; want 1000 of both", first.Load(), proofs)
	}
}

// The bound holds under requests from all sides, each of which is first or has an
// error, and what is held in the end is what was accepted.
func TestTheMemoryKeepsItsBoundUnderLoad(t *testing.T) {
	const most, workers, each = 1_000, 8, 2_000
	m := dpop.NewMemory(most)
	var first atomic.Int64
	var wait sync.WaitGroup
	for worker := range workers {
		wait.Go(func() {
			for n := range each {
				if ok, _ := m.Use(context.Background(), useOf(n, worker*each+n, start)); ok {
					first.Add(1)
				}
			}
		})
	}
	wait.Wait()
	if proofs, _ := dpop.Held(m); proofs != most || first.Load() != most {
		t.Errorf("got %d proofs held and %d first; want %d of both", proofs, first.Load(), most)
	}
}

// What the documentation of NewMemory says of bytes was measured here.
func TestWhatAProofTakes(t *testing.T) {
	for _, size := range []struct{ proofs, clients int }{{1 << 20, 16}, {700_000, 70_000}} {
		before := heap()
		m := dpop.NewMemory(0)
		for n := range size.proofs {
			use := useOf(n, n%size.clients, start)
			use.Until = start.Add(time.Duration(n%70) * time.Second)
			if got := try(m, use); got != "first" {
				t.Fatalf("proof %d: got %s; want first", n, got)
			}
		}
		each := float64(heap()-before) / float64(size.proofs)
		t.Logf("%d proofs of %d clients: %.0f bytes each", size.proofs, size.clients, each)
		if each > 80 {
			t.Errorf("got %.0f bytes a proof; want at most 80", each)
		}
		runtime.KeepAlive(m)
	}
}

func heap() int64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func BenchmarkMemory(b *testing.B) {
	for _, rate := range []int{1_000, 10_000} {
		b.Run(fmt.Sprintf("per-second=%d", rate), func(b *testing.B) {
			m := dpop.NewMemory(0)
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				n++
				if first, err := m.Use(context.Background(), useOf(n, n%1000, start.Add(time.Duration(n)*time.Second/time.Duration(rate)))); !first || err != nil {
					b.Fatal(first, err)
				}
			}
		})
	}
}
