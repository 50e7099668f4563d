// Command loopback measures the cost of the validator in a service that is called over
// real connections. It measures requests per second and latencies for net/http, Echo
// and gRPC, with and without the validator in front of the handler.
//
//	go run ./benchmarks/loopback -time 2s -rounds 6
//
// The server is a separate process that uses one core at a time, like the client that
// keeps it busy. On Linux, each is bound to a core of its own if there are two. With
// and without the validator, the requests are alike; without it, the token is
// ignored.
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
	flag.IntVar(&p.rounds, "rounds", 6, "number of rounds")
	flag.IntVar(&p.connections, "connections", 32, "number of concurrent requests: connections, or streams of one HTTP/2 connection")
	flag.IntVar(&p.tokens, "tokens", 10_000, "number of different tokens")
	write := flag.String("write", "", "Markdown file whose section \"loopback\" to replace with the table")
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
