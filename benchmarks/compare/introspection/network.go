package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"iter"
	rand2 "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// All implementations use http.DefaultTransport or a clone of it. With this they trust
// the TLS server of the scenario "forgotten".
func init() {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	http.DefaultTransport.(*http.Transport).TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
}

// A middlebox forwards connections to an address. After forget, it discards everything
// that comes over the connections that were open then.
type middlebox struct {
	listener  net.Listener
	to        string
	forgotten atomic.Int64 // number of the first connections that are forgotten

	mu   sync.Mutex
	open []net.Conn
}

func newMiddlebox(to string) (*middlebox, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	m := &middlebox{listener: listener, to: to}
	go m.accept() // until close
	return m, nil
}

func (m *middlebox) accept() {
	for n := int64(1); ; n++ {
		near, err := m.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", m.to)
		if err != nil {
			_ = near.Close()
			continue
		}
		m.mu.Lock()
		m.open = append(m.open, near, far)
		m.mu.Unlock()
		go m.pass(n, far, near)
		go m.pass(n, near, far)
	}
}

func (m *middlebox) pass(n int64, to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 32<<10)
	for {
		size, err := from.Read(buffer)
		if err != nil {
			return
		}
		if n <= m.forgotten.Load() {
			continue
		}
		if _, err := to.Write(buffer[:size]); err != nil {
			return
		}
	}
}

// forget forgets all open connections.
func (m *middlebox) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgotten.Store(int64(len(m.open) / 2))
}

func (m *middlebox) close() {
	_ = m.listener.Close()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.open {
		_ = c.Close()
	}
}

func forgotten(t *trial) (finding, error) {
	secure := httptest.NewUnstartedServer(t.server)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	defer secure.Close()
	box, err := newMiddlebox(secure.Listener.Addr().String())
	if err != nil {
		return finding{}, err
	}
	defer box.close()
	t.server.url = fmt.Sprintf("https://%s/introspect", box.listener.Addr())
	c, err := t.warm()
	if err != nil {
		return finding{}, err
	}
	after := t.length / 30
	defer time.AfterFunc(after, box.forget).Stop()
	requests := load(t.life, c, 20, different(int(2*t.length*20/time.Second)))
	f := found(requests, healed(requests, after), within(durations(requests)))
	f.answerable = true
	return f, nil
}

// healed returns a note about how long after since the last failed lookup began. If
// no failed lookup began after since, the note is empty.
func healed(requests []*request, since time.Duration) string {
	last := time.Duration(0)
	for _, r := range requests {
		if r.verdict == unavailable {
			last = max(last, r.sent-since)
		}
	}
	if last == 0 {
		return ""
	}
	return "the last loss began " + readable(last) + " after that"
}

func idle(t *trial) (finding, error) {
	impatient := httptest.NewUnstartedServer(t.server)
	impatient.Config.IdleTimeout = 20 * time.Millisecond
	impatient.Config.ConnState = t.server.connected
	impatient.Start()
	defer impatient.Close()
	t.server.url = impatient.URL + "/introspect"
	c, err := t.warm()
	if err != nil {
		return finding{}, err
	}
	w := work{}
	for n := range int(20 * t.length / time.Second) {
		time.Sleep(15*time.Millisecond + rand2.N(10*time.Millisecond))
		w.verdicts[ask(t.life, c, good+"idle-"+strconv.Itoa(n))]++
	}
	return finding{verdicts: w.verdicts, answerable: true, notes: []string{t.connections()}}, nil
}

func oddOne(t *trial) (finding, error) {
	t.server.behave(behaviour{oddStatus: http.StatusInternalServerError})
	return t.among(t.length/3, 1, false)
}

// beside measures how one odd client and made-up tokens affect other clients.
func beside(t *trial) (finding, error) {
	t.server.behave(behaviour{delay: own, oddStatus: http.StatusInternalServerError, strangeStatus: http.StatusInternalServerError})
	return t.among(t.length, 10, true)
}

// own is how long the server takes in beside.
const own = 20 * time.Millisecond

// among counts only the lookups of good clients, each of which repeats one token. The
// server finds these tokens active.
func (t *trial) among(length time.Duration, clients int, strangers bool) (finding, error) {
	c, err := t.open()
	if err != nil {
		return finding{}, err
	}
	life, end := context.WithCancel(t.life)
	defer end()
	var others, asking sync.WaitGroup
	others.Go(func() { load(life, c, 200, repeat(length, 200, func() string { return odd + "one" })) })
	if strangers {
		others.Go(func() { load(life, c, 100, repeat(length, 100, rand.Text)) })
	}
	all := make([][]*request, clients)
	for n := range clients {
		asking.Go(func() {
			all[n] = load(life, c, 10, repeat(length, 10, func() string { return good + strconv.Itoa(n) }))
		})
	}
	asking.Wait()
	end()
	others.Wait()
	requests := slices.Concat(all...)
	f := found(requests, within(durations(requests)), t.calls())
	f.answerable = true
	return f, nil
}

// repeat yields tokens from next, as many as the rate per second gives in length.
func repeat(length time.Duration, rate int, next func() string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for range int(length * time.Duration(rate) / time.Second) {
			if !yield(next()) {
				return
			}
		}
	}
}
