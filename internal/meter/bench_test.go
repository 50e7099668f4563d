package meter_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/accesstoken/accesstoken/internal/meter"
)

type padded struct {
	atomic.Uint64
	_ [56]byte
}

func BenchmarkCount(b *testing.B) {
	shards := make([]padded, meter.Shards())
	pool := sync.Pool{New: func() any { return new(padded) }}
	ways := map[string]func(){
		"way=one":   func() { shards[0].Add(1) },
		"way=stack": func() { shards[meter.Shard(len(shards))].Add(1) },
		"way=pool": func() {
			p := pool.Get().(*padded)
			p.Add(1)
			pool.Put(p)
		},
	}
	for _, name := range []string{"way=one", "way=stack", "way=pool"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				ways[name]()
			}
		})
		b.Run(name+"/parallel", func(b *testing.B) {
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					ways[name]()
				}
			})
		})
	}
}
