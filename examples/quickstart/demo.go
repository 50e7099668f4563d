package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/examples/quickstart/carriers"
	"github.com/accesstoken/accesstoken/examples/quickstart/drive"
	"github.com/accesstoken/accesstoken/examples/quickstart/guestbook"
	"github.com/accesstoken/accesstoken/examples/quickstart/issuer"
	"github.com/accesstoken/accesstoken/examples/quickstart/journal"
	"github.com/accesstoken/accesstoken/examples/quickstart/loopback"
	"github.com/accesstoken/accesstoken/examples/quickstart/owner"
	"github.com/accesstoken/accesstoken/examples/quickstart/page"
	"github.com/accesstoken/accesstoken/examples/quickstart/printer"
)

var alice = issuer.User{Subject: "user-7f3a", Login: "alice", Password: "wonderland", Name: "Alice"}

// A demo holds all parties of all flows, in one process.
type demo struct {
	options
	places        []place
	page          string // the URL for a person to open
	issuer        *issuer.Server
	url           string // of the issuer
	drive         *drive.Drive
	calendar      *drive.Drive // a second resource server, which refuses tokens for the drive
	calls         *carriers.Client
	calendarCalls *carriers.Client // calls the calendar
	starts        map[journal.Kind]string
	printers      map[journal.Kind]*printer.Printer
	journal       *journal.Journal
	logbook       *logbook

	clients struct {
		photoPrinter, albumMaker, guestBook issuer.Client
		drive, calendar                     issuer.Resource // of the introspection endpoint
	}

	transport *http.Transport
	servers   []*loopback.Server

	trial sync.Mutex // one trial at a time, because some of them change the issuer
	seen  struct {
		sync.Mutex
		reasons []accesstoken.Reason
	}

	// If the drive sees an unknown key ID, it fetches the key set, at most twice in a
	// burst and then once in 30 s. This limits what an attacker can cause with
	// invented key IDs. After more rotations than that, the drive would not know the
	// new key for a while, so the demo does not rotate more often.
	rotations *rate.Limiter
}

// A place is a listener and its URL.
type place struct {
	net.Listener
	url string
}

type options struct {
	host string            // of every party
	port int               // of the page; the others use the ports after it, or free ports if taken; 0 means free ports for all
	out  io.Writer         // gets a log of the flows and trials that visitors of the page start
	back http.RoundTripper // from the clients to the issuer and the drive; nil means the demo's own transport
}

// start starts all parties.
func start(ctx context.Context, o options) (*demo, error) {
	d := &demo{
		options: o, journal: &journal.Journal{}, logbook: &logbook{}, transport: &http.Transport{},
		rotations: rate.NewLimiter(rate.Every(31*time.Second), 2),
		starts:    map[journal.Kind]string{}, printers: map[journal.Kind]*printer.Printer{},
	}
	if d.back == nil {
		d.back = d.transport
	}
	places, err := listen(o.host, o.port, 10)
	if err != nil {
		return nil, err
	}
	d.places, d.page, d.url = places, places[atPage].url, places[atIssuer].url
	for _, startParty := range []func(context.Context) error{d.startIssuer, d.startResourceServers, d.startPrinters, d.startGuestBook, d.startPage} {
		if err := startParty(ctx); err != nil {
			err = errors.Join(err, d.Close())
			for _, p := range places {
				p.Close()
			}
			return nil, err
		}
	}
	return d, nil
}

// Where each party listens, as an index of places. A resource server has three
// listeners: net/http, Echo and gRPC.
const (
	atPage = iota
	atIssuer
	atDrive
	atPrinters  = atDrive + 3
	atGuestBook = atPrinters + 1
	atCalendar  = atGuestBook + 1
)

// startIssuer starts the authorization server. It registers its clients, and the
// resource servers as clients of its introspection endpoint.
func (d *demo) startIssuer(context.Context) (err error) {
	printers, guestBook := d.places[atPrinters].url, d.places[atGuestBook].url
	d.clients.photoPrinter = issuer.Client{
		ID: "photo-printer", Secret: rand.Text(), Name: "Photo printer", JWT: true,
		RedirectURI: printers + "/photo-printer/callback", Scopes: []string{"files:read"},
	}
	d.clients.albumMaker = issuer.Client{
		ID: "album-maker", Secret: rand.Text(), Name: "Album maker",
		RedirectURI: printers + "/album-maker/callback", Scopes: []string{"files:read"},
	}
	d.clients.guestBook = issuer.Client{
		ID: "guest-book", Secret: rand.Text(), Name: "Guest book", JWT: true,
		RedirectURI: guestBook + "/callback", Scopes: []string{"openid", "profile", "files:read"},
	}
	// The identifier of a resource server is the URL that clients request over net/http, so that
	// they find its metadata (RFC 9728 §3.3). Over Echo and gRPC it has the same identifier.
	d.clients.drive = issuer.Resource{ID: d.places[atDrive].url + "/files", ClientID: "drive", ClientSecret: rand.Text()}
	d.clients.calendar = issuer.Resource{ID: d.places[atCalendar].url + "/files", ClientID: "calendar", ClientSecret: rand.Text()}
	d.issuer, err = issuer.New(issuer.Config{
		URL: d.url, User: alice, Observe: d.observe,
		Clients:   []issuer.Client{d.clients.photoPrinter, d.clients.albumMaker, d.clients.guestBook},
		Resources: []issuer.Resource{d.clients.drive, d.clients.calendar},
	})
	if err != nil {
		return err
	}
	d.serve(d.places[atIssuer], d.issuer)
	return nil
}

// startResourceServers starts the drive and the calendar, and connects to both.
func (d *demo) startResourceServers(ctx context.Context) (err error) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: d.transport}
	logger := slog.New(slog.NewTextHandler(d.logbook, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	run := func(at int, r issuer.Resource) (*drive.Drive, error) {
		return drive.Start(d.host, drive.Listeners{HTTP: d.places[at], Echo: d.places[at+1], GRPC: d.places[at+2]}, drive.Config{
			Resource: r.ID, Issuer: d.url, ClientID: r.ClientID, ClientSecret: r.ClientSecret,
			HTTPClient: client, Logger: logger, OnRefuse: d.refused,
		})
	}
	if d.drive, err = run(atDrive, d.clients.drive); err != nil {
		return err
	}
	if d.calendar, err = run(atCalendar, d.clients.calendar); err != nil {
		return err
	}
	if err := d.drive.Validator.Warm(ctx); err != nil {
		return err
	}
	if d.calls, err = carriers.New("The drive", d.drive.HTTP, d.drive.Echo, d.drive.GRPC); err != nil {
		return err
	}
	d.calendarCalls, err = carriers.New("The calendar", d.calendar.HTTP, d.calendar.Echo, d.calendar.GRPC)
	return err
}

// startPrinters starts the OAuth 2.0 clients: one with JWTs, one with opaque tokens.
func (d *demo) startPrinters(context.Context) error {
	at := d.places[atPrinters]
	apps := http.NewServeMux()
	for kind, c := range map[journal.Kind]issuer.Client{journal.OAuth: d.clients.photoPrinter, journal.OAuthOpaque: d.clients.albumMaker} {
		app := printer.New(printer.Config{
			Kind: kind, ClientID: c.ID, ClientSecret: c.Secret, RedirectURI: c.RedirectURI, Scopes: c.Scopes,
			Issuer: d.url, Resource: d.clients.drive.ID, Drive: d.calls, Journal: d.journal, Done: d.page + "/done", Transport: d.back,
		})
		apps.HandleFunc("GET /"+c.ID+"/start", app.Start)
		apps.HandleFunc("GET /"+c.ID+"/callback", app.Callback)
		d.starts[kind], d.printers[kind] = at.url+"/"+c.ID+"/start", app
	}
	d.serve(at, apps)
	return nil
}

// startGuestBook starts the relying party of OpenID Connect.
func (d *demo) startGuestBook(ctx context.Context) error {
	c := d.clients.guestBook
	book, err := guestbook.New(ctx, guestbook.Config{
		ClientID: c.ID, ClientSecret: c.Secret, RedirectURI: c.RedirectURI,
		Issuer: d.url, Resource: d.clients.drive.ID, Drive: d.calls, Journal: d.journal, Done: d.page + "/done", Transport: d.back,
	})
	if err != nil {
		return err
	}
	login := http.NewServeMux()
	login.HandleFunc("GET /start", book.Start)
	login.HandleFunc("GET /callback", book.Callback)
	d.serve(d.places[atGuestBook], login)
	d.starts[journal.OIDC] = d.places[atGuestBook].url + "/start"
	return nil
}

// startPage starts the page that draws the flows.
func (d *demo) startPage(context.Context) error {
	d.serve(d.places[atPage], page.New(page.Config{
		Starts: d.starts, Journal: d.journal, Trials: trialList(), Try: d.try,
		Login: alice.Login, Password: alice.Password, Log: d.logbook.Lines, Keys: d.issuer.KeyIDs,
		Source: drive.Source(), Resource: d.clients.drive.ID, Issuer: d.url,
		Played: func(flow journal.Snapshot) { printFlow(d.out, flow) },
		Tried:  func(t page.Trial, err error) { printTried(d.out, t, err) },
	}))
	return nil
}

func listen(host string, port, n int) ([]place, error) {
	var places []place
	for i := range n {
		at, listen := port+i, loopback.ListenNear
		if i == 0 {
			listen = loopback.Listen // the page must be at exactly the address of -addr
		}
		if port == 0 {
			at = 0
		}
		l, err := listen(host, at)
		if err != nil {
			for _, p := range places {
				p.Close()
			}
			return nil, err
		}
		places = append(places, place{l, loopback.URL(host, l)})
	}
	return places, nil
}

func (d *demo) serve(p place, h http.Handler) {
	d.servers = append(d.servers, loopback.Serve(p, h))
}

// Close stops every party. Clients are closed first, so that no server waits for them.
func (d *demo) Close() error {
	var faults []error
	for _, c := range []*carriers.Client{d.calls, d.calendarCalls} {
		if c != nil {
			faults = append(faults, c.Close())
		}
	}
	d.transport.CloseIdleConnections()
	for _, drive := range []*drive.Drive{d.drive, d.calendar} {
		if drive != nil {
			faults = append(faults, drive.Close())
		}
	}
	for _, s := range slices.Backward(d.servers) {
		faults = append(faults, s.Close())
	}
	d.transport.CloseIdleConnections()
	return errors.Join(faults...)
}

// observe adds an exchange at the authorization server to the flow with this state.
func (d *demo) observe(endpoint, state string, e journal.Exchange) {
	flow, ok := d.journal.ByState(state)
	if !ok {
		return
	}
	flow.Record(stepOf(flow.Kind, endpoint), e)
}

func stepOf(kind journal.Kind, endpoint string) int {
	switch {
	case endpoint == "/oauth/introspect" && kind == journal.OIDC:
		return journal.OptionallyUsesAccessToken
	case endpoint == "/oauth/introspect":
		return journal.UsesAccessToken
	case kind == journal.OIDC:
		return journal.RequestsIDToken
	case endpoint == "/authorize":
		return journal.RequestsAuthorization
	}
	return journal.GivesAuthorization
}

// refused collects the reasons of refusals. The operator sees these, but clients may
// get a coarser reason.
func (d *demo) refused(_ context.Context, refused *accesstoken.Error) {
	d.seen.Lock()
	defer d.seen.Unlock()
	d.seen.reasons = append(d.seen.reasons, refused.Reason)
}

// reasons returns the reasons that were collected since the last call, without
// duplicates.
func (d *demo) reasons() []string {
	d.seen.Lock()
	defer d.seen.Unlock()
	var out []string
	for _, r := range d.seen.reasons {
		if !slices.Contains(out, string(r)) {
			out = append(out, string(r))
		}
	}
	d.seen.reasons = nil
	return out
}

// play runs a whole flow with a simulated resource owner and no browser. It calls
// prepare with the flow's state before the authorization request is sent.
func (d *demo) play(ctx context.Context, kind journal.Kind, prepare func(state string)) (journal.Snapshot, error) {
	var state string
	person := owner.Owner{
		Login: alice.Login, Password: alice.Password, Transport: d.transport, Until: d.page,
		OnRequest: func(u *url.URL) {
			if u.Path == "/authorize" {
				state = u.Query().Get("state")
				prepare(state)
			}
		},
	}
	at, status, err := person.Visit(ctx, d.starts[kind])
	if err != nil {
		return journal.Snapshot{}, err
	}
	flow, ok := d.journal.ByState(state)
	if !ok {
		return journal.Snapshot{}, fmt.Errorf("the flow ended at %s with status %d and did not reach the client", at, status)
	}
	got := flow.Snapshot()
	if !got.Done {
		return got, fmt.Errorf("the flow stopped at %s with status %d", at, status)
	}
	return got, got.Err
}

func asUsual(string) {}

// A logbook keeps the newest lines of a log.
type logbook struct {
	mu    sync.Mutex
	lines []string
}

func (l *logbook) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(line))
	if len(l.lines) > 20 {
		l.lines = l.lines[1:]
	}
	return len(line), nil
}

// Lines returns the newest lines, oldest first.
func (l *logbook) Lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines)
}

func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
