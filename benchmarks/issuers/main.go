// Command issuers prints what 1, 200 and 10,000 issuers cost, as the table of
// docs/tenants.md: the time of NewValidator and of SetIssuers with one issuer less, and the
// memory of each issuer before its keys are fetched.
package main

import (
	"fmt"
	"log"
	"runtime"
	"time"

	"github.com/accesstoken/accesstoken"
)

func main() {
	log.SetFlags(0)
	fmt.Println("| issuers | `NewValidator` | `SetIssuers`, one removed | memory of each |")
	fmt.Println("|---|---|---|---|")
	for _, n := range []int{1, 200, 10_000} {
		if err := measure(n); err != nil {
			log.Fatal(err)
		}
	}
}

func measure(n int) error {
	issuers := make([]accesstoken.Issuer, n, n+1)
	for i := range issuers {
		issuers[i] = accesstoken.Issuer{URL: fmt.Sprintf("https://tenant-%d.example.com", i)}
	}
	more := append(issuers, accesstoken.Issuer{URL: "https://removed.example.com"})
	before := heap()
	began := time.Now()
	v, err := accesstoken.NewValidator(accesstoken.Config{Resource: "https://api.example.com", Issuers: more})
	if err != nil {
		return err
	}
	started := time.Since(began)
	each := (heap() - before) / int64(n+1)
	began = time.Now()
	if err := v.SetIssuers(issuers...); err != nil {
		return err
	}
	set := time.Since(began)
	fmt.Printf("| %d | %v | %v | %.1f KiB |\n", n, started.Round(10*time.Microsecond), set.Round(10*time.Microsecond), float64(each)/1024)
	return v.Close()
}

// heap returns the bytes that are in use.
func heap() int64 {
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return int64(memory.HeapAlloc)
}
