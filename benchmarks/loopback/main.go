// Command loopback measures what the validator costs a service that is asked
// over real connections: requests per second and how long they take, behind
// net/http, Echo and gRPC, each with us in front of the handler and without.
//
//	go run ./benchmarks/loopback -time 2s -rounds 6
//
// The server is a process of its own on one core, and the client that keeps it
// busy has another. Both ways get the same requests, byte for byte; the one
// without us does not look at the token.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/accesstoken/accesstoken/benchmarks/internal/report"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("loopback: ")
	if isServer() {
		exitOn(serve(os.Args[2], os.Stdin, os.Stdout))
		return
	}
	p := plan{pin: true}
	flag.DurationVar(&p.time, "time", 2*time.Second, "time for each row in a round")
	flag.IntVar(&p.rounds, "rounds", 6, "rounds")
	flag.IntVar(&p.connections, "connections", 32, "requests at a time: connections, or streams of one HTTP/2 connection")
	flag.IntVar(&p.tokens, "tokens", 10_000, "different tokens")
	write := flag.String("write", "", "file whose section loopback is replaced")
	flag.Parse()
	found, err := p.run()
	exitOn(err)
	text := found.markdown()
	fmt.Print(text)
	if *write != "" {
		exitOn(report.Replace(*write, "loopback", text))
	}
}

func exitOn(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
