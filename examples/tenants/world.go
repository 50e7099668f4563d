package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/examples/quickstart/loopback"
)

// A world is what surrounds the product: the authorization servers of its staff and of
// four tenants, and the terminal. The tenant umbrella is not in the database at first,
// and the tokens of initech are opaque.
type world struct {
	out   *terminal
	level slog.LevelVar
	ticks chan time.Time // on which the database is looked at, if once is set

	staff, acme, globex, initech, umbrella *accesstokentest.Server

	mu         sync.Mutex
	refused    accesstoken.Reason // of the last refusal
	deviations []error
}

func newWorld(out io.Writer) (w *world, err error) {
	w = &world{out: &terminal{to: out}, ticks: make(chan time.Time)}
	for _, as := range w.servers() {
		if *as, err = accesstokentest.Start(); err != nil {
			w.close()
			return nil, err
		}
	}
	return w, nil
}

func (w *world) servers() []**accesstokentest.Server {
	return []**accesstokentest.Server{&w.staff, &w.acme, &w.globex, &w.initech, &w.umbrella}
}

func (w *world) close() {
	for _, as := range w.servers() {
		if *as != nil {
			(*as).Close()
		}
	}
}

// seed puts the first three tenants into the database, and notes of all four.
func (w *world) seed(ctx context.Context, db *store) error {
	first := tenant{"acme", "acme.example.com", w.acme.URL, "", ""}
	second := tenant{"globex", "globex.example.com", w.globex.URL, "", ""}
	third := tenant{"initech", "initech.example.com", w.initech.URL, w.initech.IntrospectionEndpoint(), accesstokentest.ClientID}
	faults := []error{db.put(ctx, first, ""), db.put(ctx, second, ""), db.put(ctx, third, accesstokentest.ClientSecret)}
	for _, as := range []*accesstokentest.Server{w.acme, w.globex, w.initech, w.umbrella} {
		faults = append(faults, db.addNote(ctx, as.URL, note{By: "alice", Text: "the plans of " + w.nameOf(as)}))
	}
	return errors.Join(faults...)
}

func (w *world) nameOf(as *accesstokentest.Server) string {
	return map[*accesstokentest.Server]string{w.acme: "acme", w.globex: "globex", w.initech: "initech", w.umbrella: "umbrella"}[as]
}

// config is that of the Validator. If your customers type the URLs of their issuers, you
// should set PublicAddressesOnly as well. Here every issuer is on loopback.
func (w *world) config() accesstoken.Config {
	return accesstoken.Config{
		Resource:   "https://api.example.com",
		Issuers:    []accesstoken.Issuer{{URL: w.staff.URL, Name: "staff"}},
		HTTPClient: w.staff.Client(), // trusts the certificate that all of them have
		Logger:     slog.New(slog.NewTextHandler(w.out, &slog.HandlerOptions{Level: &w.level, ReplaceAttr: withoutTime})),
		OnRefuse: func(_ context.Context, refused *accesstoken.Error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.refused = refused.Reason
		},
	}
}

func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// token makes a token that is valid for an hour. Those of initech are opaque.
func (w *world) token(as *accesstokentest.Server, scope string) string {
	claims := accesstokentest.Claims{"scope": scope, "exp": time.Now().Add(time.Hour).Unix()}
	if as != w.initech {
		return as.Token(claims)
	}
	token := "initech_" + rand.Text()
	as.Remember(token, claims)
	return token
}

// serve serves until ctx ends. It prints requests to try, and a line for each refusal.
func (w *world) serve(ctx context.Context, p *product, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("-addr: %w", err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return fmt.Errorf("-addr: %q is not a port", port)
	}
	l, err := loopback.Listen(host, n)
	if err != nil {
		return fmt.Errorf("-addr: %w", err)
	}
	w.level.Set(slog.LevelDebug)
	server := newServer(p)
	defer server.Close()
	go server.Serve(l)
	const users = "notes:read notes:write"
	fmt.Fprintf(w.out, manual, loopback.URL(host, l), w.token(w.acme, users), w.token(w.globex, users), w.token(w.initech, users),
		w.token(w.umbrella, users), w.token(w.staff, "tenants:write"), w.umbrella.URL)
	<-ctx.Done()
	return nil
}

// manual is for a shell. $AT and the following lines are set first.
const manual = `Set these variables in a shell:

AT=%s
ACME=%s
GLOBEX=%s
INITECH=%s
UMBRELLA=%s
STAFF=%s

Each tenant reads its own notes, by host or by path. The tokens of initech are opaque:

curl -i -H "Authorization: Bearer $ACME" -H "Host: acme.example.com" $AT/notes
curl -i -H "Authorization: Bearer $ACME" $AT/t/acme/notes
curl -i -H "Authorization: Bearer $INITECH" -H "Host: initech.example.com" $AT/notes

A token of acme is refused at globex with 403:

curl -i -H "Authorization: Bearer $ACME" -H "Host: globex.example.com" $AT/notes

The tenant umbrella is refused with 401 until the staff adds it:

curl -i -H "Authorization: Bearer $UMBRELLA" -H "Host: umbrella.example.com" $AT/notes
curl -i -H "Authorization: Bearer $STAFF" -X PUT -d '{"Host": "umbrella.example.com", "Issuer": "%s"}' $AT/tenants/umbrella

Open a stream in a second shell, and remove its tenant. The stream ends:

curl -N -H "Authorization: Bearer $GLOBEX" -H "Host: globex.example.com" $AT/events
curl -i -H "Authorization: Bearer $STAFF" -X DELETE $AT/tenants/globex

Press Ctrl-C to stop. Refusals are logged here.

`

func newServer(p *product) *http.Server {
	// A ReadTimeout or a WriteTimeout would end the streams.
	return &http.Server{Handler: p.routes(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
}

// A terminal is written to by the log and by the requests, at the same time.
type terminal struct {
	mu sync.Mutex
	to io.Writer
}

func (t *terminal) Write(text []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.to.Write(text)
}

// expect prints a result, and remembers it if it is not the expected one.
func (w *world) expect(what, got, want string) {
	fmt.Fprintf(w.out, "%-66s %s\n", what, cmp.Or(got, "-"))
	if got != want {
		w.deviations = append(w.deviations, fmt.Errorf("%s: got %s; want %s", what, got, want))
	}
}
