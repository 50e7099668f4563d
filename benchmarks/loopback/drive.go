package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// patience is how much longer than planned a measurement may take. If a request has no
// answer by then, it counts as failed.
const patience = 30 * time.Second

// A call makes one request and returns an error if the answer is not as it should be.
// Only one goroutine may use it at a time.
type call func(token string) error

// A record is the result of a measurement.
type record struct {
	latencies []time.Duration // of every request, in no order
	elapsed   time.Duration
	cpu       time.Duration // processor time of the server
}

func (r record) plus(other record) record {
	return record{append(r.latencies, other.latencies...), r.elapsed + other.elapsed, r.cpu + other.cpu}
}

// drive keeps n requests in flight until the time is over or there are no more tokens.
// It opens the connections before it starts the clock.
func drive(transport, address string, n int, next supply, limit time.Duration) (record, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit+patience)
	defer cancel()
	calls, hangUp, err := dial(ctx, transport, address, n)
	if err != nil {
		return record{}, err
	}
	defer hangUp()
	d := driver{next: next, end: time.Now().Add(limit)}
	start := time.Now()
	var running sync.WaitGroup
	for _, do := range calls {
		running.Go(func() { d.repeat(do) })
	}
	running.Wait()
	d.elapsed = time.Since(start)
	return d.record, d.err
}

// A driver is shared by the callers of one measurement.
type driver struct {
	sync.Mutex
	next supply
	end  time.Time
	err  error // the first error, which stops all callers
	record
}

func (d *driver) repeat(do call) {
	var own []time.Duration
	for now := time.Now(); now.Before(d.end); {
		token, ok := d.take()
		if !ok {
			break
		}
		if err := do(token); err != nil {
			d.fail(fmt.Errorf("request %d of a connection: %w", len(own)+1, err))
			break
		}
		done := time.Now()
		own = append(own, done.Sub(now))
		now = done
	}
	d.Lock()
	defer d.Unlock()
	d.latencies = append(d.latencies, own...)
}

func (d *driver) take() (token string, ok bool) {
	d.Lock()
	defer d.Unlock()
	if d.err != nil {
		return "", false
	}
	return d.next()
}

func (d *driver) fail(err error) {
	d.Lock()
	defer d.Unlock()
	if d.err == nil {
		d.err = err
	}
}
