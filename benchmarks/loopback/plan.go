package main

import (
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"
)

// A setting is one thing to measure: a transport, and the authentication in front of
// its handler.
type setting struct{ transport, auth string }

const (
	netHTTP = "net/http"
	echoV4  = "Echo"
	unary   = "gRPC unary"

	without  = "without"  // no validator
	with     = "with"     // a validator that has verified all tokens before
	uncached = "uncached" // a validator that has not seen the token of the request before
)

// settings are in the order in which the server reports its addresses.
var settings = []setting{
	{netHTTP, without}, {netHTTP, with},
	{echoV4, without}, {echoV4, with},
	{unary, without}, {unary, with},
	{netHTTP, uncached},
}

func (s setting) String() string { return s.transport + " " + s.auth }

// A plan says how much to measure.
type plan struct {
	time                time.Duration // for each setting in a round
	rounds, connections int
	tokens              int
	pin                 bool // bind server and client to one core each
}

// results are the figures by setting and round.
type results struct {
	plan
	rounds map[setting][]figures
}

// run starts a server and measures every setting once a round.
func (p plan) run() (_ *results, err error) {
	if p.time <= 0 || p.rounds <= 0 || p.connections <= 0 || p.tokens <= 0 {
		return nil, errors.New("time, rounds, connections and tokens must be greater than zero")
	}
	log.Printf("signing %d tokens", p.tokens)
	key, tokens, err := mint(p.tokens)
	if err != nil {
		return nil, err
	}
	s, err := startServer(key)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if p.pin {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		p.pin = pin(clientCore)
	}
	return p.measure(s, tokens)
}

func (p plan) measure(s *server, tokens []string) (*results, error) {
	if err := warm(s, p.connections, tokens); err != nil {
		return nil, err
	}
	found := &results{p, map[setting][]figures{}}
	for n := range p.rounds {
		log.Printf("round %d of %d", n+1, p.rounds)
		records, err := p.round(s, tokens)
		if err != nil {
			return nil, err
		}
		for way, r := range records {
			if len(r.latencies) == 0 {
				return nil, fmt.Errorf("%v: no request succeeded; want at least one", way)
			}
			found.rounds[way] = append(found.rounds[way], figuresOf(r))
		}
	}
	return found, nil
}

// warm makes the validator that is not replaced verify all tokens. It uses one
// transport, because the same validator is behind every transport.
func warm(s *server, connections int, tokens []string) error {
	way := setting{netHTTP, with}
	if _, err := drive(way.transport, s.addresses[way], connections, inTurn(tokens), time.Minute); err != nil {
		return fmt.Errorf("before the first round, %v: %w", way, err)
	}
	return nil
}

// A slice is how long one setting is measured before the next one. If the machine is
// slow for a while, this affects all settings about alike.
const slice = 200 * time.Millisecond

// round measures every setting for the time of the plan, in slices. The order is
// reversed each time, so that a setting does not always follow the same other one.
func (p plan) round(s *server, tokens []string) (map[setting]record, error) {
	if _, err := s.order(forget); err != nil {
		return nil, err
	}
	unseen, seen := inTurn(tokens), atRandom(tokens)
	order, sums := slices.Clone(settings), map[setting]record{}
	for left := p.time; left > 0; left -= slice {
		for _, way := range order {
			next := seen
			if way.auth == uncached {
				next = unseen
			}
			r, err := p.observe(s, way, next, min(left, slice))
			if err != nil {
				return nil, fmt.Errorf("%v: %w", way, err)
			}
			sums[way] = sums[way].plus(r)
		}
		slices.Reverse(order)
	}
	return sums, nil
}

// observe measures one setting, at the client and at the server.
func (p plan) observe(s *server, way setting, next supply, limit time.Duration) (record, error) {
	runtime.GC() // this setting should not pay for garbage of the one before
	before, err := s.order(tell)
	if err != nil {
		return record{}, err
	}
	r, err := drive(way.transport, s.addresses[way], p.connections, next, limit)
	if err != nil {
		return record{}, err
	}
	after, err := s.order(tell)
	r.cpu = after - before
	return r, err
}

// A supply returns tokens until it has no more. It is not safe for concurrent use.
type supply func() (token string, ok bool)

func inTurn(tokens []string) supply {
	next := 0
	return func() (string, bool) {
		if next == len(tokens) {
			return "", false
		}
		next++
		return tokens[next-1], true
	}
}

func atRandom(tokens []string) supply {
	random := rand.New(rand.NewPCG(1, 2))
	return func() (string, bool) { return tokens[random.IntN(len(tokens))], true }
}
