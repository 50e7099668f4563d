package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/accesstoken/accesstoken/accesstokentest"
)

// A visit is one run of all requests.
type visit struct {
	*world
	product *product
	url     string
	client  *http.Client
}

// once sends all requests and prints each result. It returns an error if a result is not
// the expected one.
func (w *world) once(ctx context.Context, p *product) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	server := w.listen(p)
	defer server.Close()
	v := &visit{w, p, server.URL, server.Client()}
	acme, initech := w.token(w.acme, "notes:read notes:write"), w.token(w.initech, "notes:read")
	v.eachSeesItsOwn(ctx, acme, initech)
	v.oneIsAdded(ctx)
	v.oneIsRemoved(ctx, acme)
	v.aRowIsBroken(ctx)
	v.expect("acme's token, after all this", v.get(ctx, "acme.example.com", "/t/acme/notes", acme), "200 "+noteOf("acme")+` {"by":"alice","text":"a second note"}`)
	v.expect("initech's token, after all this", v.get(ctx, "initech.example.com", "/notes", initech), "200 "+noteOf("initech"))
	v.expect("how often acme's keys were fetched", fmt.Sprint(w.acme.Requests(accesstokentest.JWKSPath)), "1")
	v.expect("how often initech was asked about its token", fmt.Sprint(w.initech.Requests(accesstokentest.IntrospectionPath)), "1")
	return errors.Join(w.deviations...)
}

// listen serves on a free port.
func (w *world) listen(p *product) *httptest.Server {
	server := httptest.NewUnstartedServer(nil)
	server.Config = newServer(p)
	server.Start()
	return server
}

func noteOf(name string) string { return `{"by":"alice","text":"the plans of ` + name + `"}` }

func (v *visit) eachSeesItsOwn(ctx context.Context, acme, initech string) {
	globex, staff := v.token(v.globex, "notes:read"), v.token(v.staff, "notes:read")
	operator := v.token(v.acme, "tenants:write") // acme's issuer grants what it likes
	v.expect("no token, at acme's host", v.get(ctx, "acme.example.com", "/notes", ""), "401 CREDENTIALS_MISSING")
	v.expect("acme's token, at acme's host", v.get(ctx, "acme.example.com", "/notes", acme), "200 "+noteOf("acme"))
	v.expect("acme's token, at acme's path", v.get(ctx, "api.example.com", "/t/acme/notes", acme), "200 "+noteOf("acme"))
	v.expect("globex's token, at globex's host", v.get(ctx, "globex.example.com", "/notes", globex), "200 "+noteOf("globex"))
	v.expect("initech's opaque token, at initech's host", v.get(ctx, "initech.example.com", "/notes", initech), "200 "+noteOf("initech"))
	v.expect("acme's token, at globex's host", v.get(ctx, "globex.example.com", "/notes", acme), "403 WRONG_TENANT")
	v.expect("acme's token, at globex's path", v.get(ctx, "acme.example.com", "/t/globex/notes", acme), "403 WRONG_TENANT")
	v.expect("initech's opaque token, at acme's host", v.get(ctx, "acme.example.com", "/notes", initech), "403 WRONG_TENANT")
	v.expect("acme's token, at the host of no tenant", v.get(ctx, "api.example.com", "/notes", acme), "403 WRONG_TENANT")
	v.expect("the staff's token, at acme's host", v.get(ctx, "acme.example.com", "/notes", staff), "403 WRONG_TENANT")
	v.expect("acme's token with the scope of the staff removes globex", v.send(ctx, "DELETE", "api.example.com", "/tenants/globex", operator, ""), "403 WRONG_TENANT")
}

func (v *visit) oneIsAdded(ctx context.Context) {
	umbrella, staff := v.token(v.umbrella, "notes:read"), v.token(v.staff, "tenants:write")
	put := func(issuer string) string {
		return v.send(ctx, "PUT", "api.example.com", "/tenants/umbrella", staff, `{"Host": "umbrella.example.com", "Issuer": "`+issuer+`"}`)
	}
	v.expect("umbrella's token, before it is a tenant", v.get(ctx, "umbrella.example.com", "/notes", umbrella), "401 ISSUER_UNKNOWN")
	v.expect("the staff adds umbrella, with an issuer over http", put("http://login.umbrella.example.com"), "422")
	v.expect("the staff adds umbrella, with the issuer of acme", put(v.acme.URL), "409")
	v.expect("the staff adds umbrella", put(v.umbrella.URL), "204")
	v.expect("the same token of umbrella", v.get(ctx, "umbrella.example.com", "/notes", umbrella), "200 "+noteOf("umbrella"))
}

func (v *visit) oneIsRemoved(ctx context.Context, acme string) {
	globex, staff := v.token(v.globex, "notes:read"), v.token(v.staff, "tenants:write")
	kept, ended := v.open(ctx, "acme.example.com", acme), v.open(ctx, "globex.example.com", globex)
	defer kept.close()
	defer ended.close()
	v.expect("acme opens a stream", kept.next(), noteOf("acme"))
	v.expect("globex opens a stream", ended.next(), noteOf("globex"))
	v.expect("the staff removes globex", v.send(ctx, "DELETE", "api.example.com", "/tenants/globex", staff, ""), "204")
	v.expect("globex's stream", ended.next(), "ended")
	v.expect("globex's token, which is cached", v.get(ctx, "globex.example.com", "/notes", globex), "401 ISSUER_UNKNOWN")
	v.expect("globex's new token", v.get(ctx, "globex.example.com", "/notes", v.token(v.globex, "notes:read")), "401 ISSUER_UNKNOWN")
	v.expect("acme adds a note", v.send(ctx, "POST", "acme.example.com", "/notes", acme, "a second note"), "201")
	v.expect("acme's stream", kept.next(), `{"by":"alice","text":"a second note"}`)
}

// aRowIsBroken changes the table without the product, as a script would.
func (v *visit) aRowIsBroken(ctx context.Context) {
	umbrella := v.token(v.umbrella, "notes:read")
	v.script(ctx, "UPDATE tenants SET issuer = 'http://login.umbrella.example.com' WHERE id = 'umbrella'")
	v.expect("umbrella's token, after a script broke umbrella's row", v.get(ctx, "umbrella.example.com", "/notes", umbrella), "200 "+noteOf("umbrella"))
	v.script(ctx, "DELETE FROM tenants WHERE id = 'umbrella'")
	v.expect("umbrella's token, after a script removed the row", v.get(ctx, "umbrella.example.com", "/notes", umbrella), "401 ISSUER_UNKNOWN")
}

// script runs a statement, and returns after the refresher has seen what it did.
func (v *visit) script(ctx context.Context, statement string) {
	if _, err := v.product.store.db.ExecContext(ctx, statement); err != nil {
		v.deviations = append(v.deviations, err)
	}
	v.tick(ctx)
}

// tick returns after a refresh.
func (w *world) tick(ctx context.Context) {
	for range 2 { // the second tick is taken when the first refresh is over
		select {
		case w.ticks <- time.Time{}:
		case <-ctx.Done():
		}
	}
}

func (v *visit) get(ctx context.Context, host, path, token string) string {
	return v.send(ctx, "GET", host, path, token, "")
}

// send returns the status, and then the body of a 200, or the reason of a refusal, which
// the client does not see.
func (v *visit) send(ctx context.Context, method, host, path, token, body string) string {
	v.refusal() // forget the one before
	response, err := v.do(ctx, method, host, path, token, body)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	shown := ""
	switch {
	case response.StatusCode == http.StatusOK:
		shown = strings.ReplaceAll(string(text), "\n", " ")
	case response.StatusCode >= 400:
		shown = v.refusal()
	}
	return strings.TrimSpace(fmt.Sprint(response.StatusCode, " ", shown))
}

func (v *visit) do(ctx context.Context, method, host, path, token, body string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, v.url+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Host = host
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return v.client.Do(r)
}

// refusal returns the reason of the last refusal, and forgets it.
func (w *world) refusal() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	reason := w.refused
	w.refused = ""
	return string(reason)
}

// A stream is a response with server-sent events.
type stream struct {
	body  io.ReadCloser
	lines *bufio.Scanner
	err   error
}

func (v *visit) open(ctx context.Context, host, token string) *stream {
	response, err := v.do(ctx, "GET", host, "/events", token, "")
	if err != nil {
		return &stream{err: err}
	}
	return &stream{body: response.Body, lines: bufio.NewScanner(response.Body)}
}

// next returns the data of the next event, or "ended".
func (s *stream) next() string {
	if s.err != nil {
		return s.err.Error()
	}
	for s.lines.Scan() {
		if data, ok := strings.CutPrefix(s.lines.Text(), "data: "); ok {
			return data
		}
	}
	if s.lines.Err() != nil {
		return s.lines.Err().Error()
	}
	return "ended"
}

func (s *stream) close() {
	if s.body != nil {
		s.body.Close()
	}
}
