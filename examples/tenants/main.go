// Command tenants is a product whose tenants are rows of a database, each with an issuer of its own. Tenants are added and
// removed while it serves, and one of them has opaque tokens. The authorization servers are those of accesstokentest.
//
//	go run ./tenants -once   # prints the result of each request and exits
//	go run ./tenants         # serves, and prints requests that you can send with curl
//
// You can copy schema.sql, store.go, refresh.go and operate.go, and onlyFrom of this file.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8090", "address to listen on; it must be loopback")
	once := flag.Bool("once", false, "use a free port and exit after the requests, with status 0 only if every result was as expected")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *addr, *once); err != nil {
		fmt.Fprintln(os.Stderr, "tenants:", err)
		os.Exit(1)
	}
}

// run starts the authorization servers, and the product with a database in a folder that
// is removed at the end. If once is set, it sends all requests. Otherwise it serves until
// ctx ends.
func run(ctx context.Context, out io.Writer, addr string, once bool) error {
	w, err := newWorld(out)
	if err != nil {
		return err
	}
	defer w.close()
	folder, err := os.MkdirTemp("", "tenants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	key := make([]byte, 32) // of a database that is to stay, the key has to stay as well
	rand.Read(key)
	db, err := openStore(folder+"/tenants.db", key)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := w.seed(ctx, db); err != nil {
		return err
	}
	p, err := newProduct(ctx, db, w.config())
	if err != nil {
		return err
	}
	defer p.validator.Close()

	ctx, cancel := context.WithCancel(ctx)
	var following sync.WaitGroup
	defer following.Wait()
	defer cancel()
	if once {
		following.Go(func() { p.follow(ctx, w.ticks) })
		return w.once(ctx, p)
	}
	following.Go(func() { p.follow(ctx, time.Tick(time.Second)) })
	return w.serve(ctx, p, addr)
}

// A product is the resource server of all tenants, with one Validator.
type product struct {
	*refresher
	auth  *middleware.Middleware
	staff string // the issuer of the product's own people, who are not a tenant's
	news  bell
}

// newProduct starts with the tenants of the database. The config has the issuer of the
// staff.
func newProduct(ctx context.Context, db *store, config accesstoken.Config) (*product, error) {
	r, err := newRefresher(ctx, db, config)
	if err != nil {
		return nil, err
	}
	return &product{refresher: r, auth: middleware.New(r.validator, nil), staff: config.Issuers[0].URL}, nil
}

func (p *product) routes() http.Handler {
	read, write := p.auth.Require(scopes.All("notes:read")), p.auth.Require(scopes.All("notes:write"))
	operate := p.auth.Require(scopes.All("tenants:write"))
	mux := http.NewServeMux()
	mux.Handle("GET /notes", read.Wrap(p.onlyFrom(p.byHost, p.list)))
	mux.Handle("POST /notes", write.Wrap(p.onlyFrom(p.byHost, p.add)))
	mux.Handle("GET /events", read.EndWithToken().Wrap(p.onlyFrom(p.byHost, p.stream)))
	mux.Handle("GET /t/{tenant}/notes", read.Wrap(p.onlyFrom(p.byPath, p.list)))
	mux.Handle("PUT /tenants/{tenant}", operate.Wrap(p.onlyFrom(p.byStaff, p.putTenant)))
	mux.Handle("DELETE /tenants/{tenant}", operate.Wrap(p.onlyFrom(p.byStaff, p.removeTenant)))
	return mux
}

// onlyFrom calls next if the token is from the issuer that the request is about. Any
// other token is valid all the same, so the answer is 403: after a 401, the client would
// get a new token for nothing. An issuer grants its tokens any scope that it likes, so
// the scopes do not tell tenants apart.
func (p *product) onlyFrom(issuerOf func(*http.Request) string, next func(http.ResponseWriter, *http.Request, accesstoken.Claims)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, ok := accesstoken.FromContext(r.Context())
		if !ok || claims.Issuer != issuerOf(r) {
			p.auth.Refuse(w, r, accesstoken.Deny("WRONG_TENANT", nil))
			return
		}
		next(w, r, claims)
	})
}

// byHost returns the issuer of the tenant that has the request's host, or "".
func (p *product) byHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil { // there is no port
		host = r.Host
	}
	return p.ofHost(strings.ToLower(host))
}

// byPath returns the issuer of the tenant that the path names, or "".
func (p *product) byPath(r *http.Request) string { return p.ofID(r.PathValue("tenant")) }

func (p *product) byStaff(*http.Request) string { return p.staff }

// list reads the rows of the issuer that made the token, whatever the request names.
func (p *product) list(w http.ResponseWriter, r *http.Request, claims accesstoken.Claims) {
	notes, err := p.store.notes(r.Context(), claims.Issuer, 0)
	if err != nil {
		p.fail(w, "could not read the notes", err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	for _, n := range notes {
		_ = json.NewEncoder(w).Encode(n)
	}
}

func (p *product) add(w http.ResponseWriter, r *http.Request, claims accesstoken.Claims) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4096))
	if err != nil {
		http.Error(w, "a note has at most 4096 bytes", http.StatusRequestEntityTooLarge)
		return
	}
	if err := p.store.addNote(r.Context(), claims.Issuer, note{By: claims.Subject, Text: string(text)}); err != nil {
		p.fail(w, "could not add a note", err)
		return
	}
	p.news.ring()
	w.WriteHeader(http.StatusCreated)
}

// stream sends the notes as server-sent events until the token ends. It also ends if the
// tenant is removed, because its Wrap has EndWithToken.
func (p *product) stream(w http.ResponseWriter, r *http.Request, claims accesstoken.Claims) {
	w.Header().Set("Content-Type", "text/event-stream")
	for last := int64(0); ; {
		news := p.news.next() // before reading, so that no note is missed
		notes, err := p.store.notes(r.Context(), claims.Issuer, last)
		for _, n := range notes {
			text, _ := json.Marshal(n) // on one line, whatever the text has
			_, _ = fmt.Fprintf(w, "data: %s\n\n", text)
			last = n.id
		}
		if err != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-news:
		}
	}
}

func (p *product) fail(w http.ResponseWriter, what string, err error) {
	p.config.Logger.Error(what, "error", err)
	http.Error(w, what, http.StatusInternalServerError)
}
