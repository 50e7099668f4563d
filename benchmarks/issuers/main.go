// Command issuers prints what 1, 200 and 10,000 issuers cost, as the table of
// docs/tenants.md: the times of NewValidator, of Warm and of SetIssuers with one issuer less,
// and the memory of each issuer before and after its keys were fetched. The times are the
// shortest of several rounds, because other work on the machine can only add to them.
package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"runtime"
	"time"

	"github.com/MicahParks/jwkset"
	"google.golang.org/grpc/test/bufconn"

	"github.com/accesstoken/accesstoken"
)

const rounds = 5

func main() {
	log.SetFlags(0)
	keys, err := newKeys()
	if err != nil {
		log.Fatal(err)
	}
	transport := serve(keys)
	fmt.Println("| issuers | `NewValidator` | `Warm` | `SetIssuers`, one removed | memory of each | with its keys |")
	fmt.Println("|---|---|---|---|---|---|")
	for _, n := range []int{1, 200, 10_000} {
		var best cost
		for range rounds {
			one, err := measure(transport, n)
			if err != nil {
				log.Fatal(err)
			}
			best = best.least(one)
		}
		fmt.Printf("| %d | %v | %v | %v | %.1f KiB | %.1f KiB |\n", n, best.start, best.warm, best.set, best.bare/1024, best.full/1024)
	}
}

// newKeys returns a set of one RSA key and one of P-256, which is what many issuers have.
func newKeys() ([]byte, error) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	var set jwkset.JWKSMarshal
	for kid, key := range map[string]crypto.PublicKey{"1": rsaKey.Public(), "2": ecKey.Public()} {
		jwk, err := jwkset.NewJWKFromKey(key, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: kid, USE: jwkset.UseSig}})
		if err != nil {
			return nil, err
		}
		set.Keys = append(set.Keys, jwk.Marshal())
	}
	return json.Marshal(set)
}

// serve returns the transport of a server that has the same keys for all issuers. It is in
// this process, so that Warm measures no network. As with the default HTTPClient, each issuer
// has a copy of the transport, and a connection of its own.
func serve(keys []byte) *http.Transport {
	listener := bufconn.Listen(1 << 16)
	go func() {
		log.Fatal(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(keys) })))
	}()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return listener.DialContext(ctx) }
	return &http.Transport{DialContext: dial}
}

// A cost is what some issuers cost: times, and bytes of each.
type cost struct {
	start, warm, set time.Duration
	bare, full       float64
}

// least returns the smaller of each, or other if c is zero.
func (c cost) least(other cost) cost {
	if c == (cost{}) {
		return other
	}
	return cost{min(c.start, other.start), min(c.warm, other.warm), min(c.set, other.set), min(c.bare, other.bare), min(c.full, other.full)}
}

func measure(transport *http.Transport, n int) (c cost, err error) {
	issuers := make([]accesstoken.Issuer, n+1)
	for i := range issuers {
		url := fmt.Sprintf("https://tenant-%d.example.com", i)
		issuers[i] = accesstoken.Issuer{URL: url, JWKSURI: "http://127.0.0.1/jwks"}
	}
	config := accesstoken.Config{Resource: "https://api.example.com", Issuers: issuers, HTTPClient: &http.Client{Transport: transport}}
	before := heap()
	var v *accesstoken.Validator
	if c.start, err = timed(func() (err error) { v, err = accesstoken.NewValidator(config); return err }); err != nil {
		return c, err
	}
	c.bare = (heap() - before) / float64(n+1)
	if c.warm, err = timed(func() error { return v.Warm(context.Background()) }); err != nil {
		return c, err
	}
	c.full = (heap() - before) / float64(n+1)
	if c.set, err = timed(func() error { return v.SetIssuers(issuers[:n]...) }); err != nil {
		return c, err
	}
	return c, v.Close()
}

// timed returns how long a call takes.
func timed(call func() error) (time.Duration, error) {
	began := time.Now()
	err := call()
	return time.Since(began).Round(10 * time.Microsecond), err
}

// heap returns the bytes that are in use.
func heap() float64 {
	for range 3 { // pools drop their contents at the second collection
		runtime.GC()
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return float64(memory.HeapAlloc)
}
