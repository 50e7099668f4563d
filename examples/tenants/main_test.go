package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/accesstokentest"
)

func TestOnce(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out, "127.0.0.1:0", true); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{
		"acme's token, at globex's host                                     403 WRONG_TENANT\n",
		"the same token of umbrella                                         200 {",
		"globex's stream                                                    ended\n",
		"globex's token, which is cached                                    401 ISSUER_UNKNOWN\n",
		`level=ERROR msg="the row of a tenant is broken and changes nothing" tenant=umbrella`,
		"how often acme's keys were fetched                                 1\n",
		"how often initech was asked about its token                        1\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "eyJ") || strings.Contains(out.String(), "initech_") {
		t.Error("there is a token in the output")
	}
}

// Without -once the program serves until it is stopped. The requests that it prints do
// what it says.
func TestItServesOn(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, writer, "127.0.0.1:0", false)
		writer.Close()
	}()
	shown := ""
	for buffer := make([]byte, 4096); !strings.Contains(shown, "Ctrl-C"); {
		n, err := reader.Read(buffer)
		if err != nil {
			t.Fatalf("%v after:\n%s", err, shown)
		}
		shown += string(buffer[:n])
	}
	go io.Copy(io.Discard, reader) // the log
	variables, got := map[string]string{}, []int{}
	for line := range strings.Lines(shown) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && name == strings.ToUpper(name) {
			variables[name] = value
		}
		if arguments, ok := strings.CutPrefix(line, "curl "); ok {
			response := curl(t, os.Expand(arguments, func(name string) string { return variables[name] }))
			defer response.Body.Close() // of the stream, after it has ended
			got = append(got, response.StatusCode)
		}
	}
	if want := []int{200, 200, 200, 403, 401, 204, 200, 204}; !slices.Equal(got, want) {
		t.Errorf("got %v; want %v for the requests in:\n%s", got, want, shown)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// curl sends a request as curl does with these arguments.
func curl(t *testing.T, arguments string) *http.Response {
	t.Helper()
	method, body, address, header := "GET", "", "", http.Header{}
	found := regexp.MustCompile(`(-\w) "([^"]*)"|(-d) '([^']*)'|(-X) (\S+)|(http:\S+)`).FindAllStringSubmatch(arguments, -1)
	for _, part := range found {
		switch part[1] + part[3] + part[5] {
		case "-H":
			name, value, _ := strings.Cut(part[2], ": ")
			header.Set(name, value)
		case "-d":
			body = part[4]
		case "-X":
			method = part[6]
		default:
			address = part[7]
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatalf("curl %s: %v", arguments, err)
	}
	r.Header, r.Host = header, header.Get("Host")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatalf("curl %s: %v", arguments, err)
	}
	return response
}

func TestAnAddressThatIsNoLoopback(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "127.0.0.1", "127.0.0.1:http"} {
		if err := run(t.Context(), io.Discard, addr, false); err == nil || !strings.HasPrefix(err.Error(), "-addr: ") {
			t.Errorf("%s: got %v; want a fault of -addr", addr, err)
		}
	}
}

// A fixture is a visit that a test makes, with the database in a file.
type fixture struct {
	*visit
	file string
	log  *bytes.Buffer // read it after the tick that writes to it
}

func newFixture(t *testing.T, change func(*store)) *fixture {
	t.Helper()
	f := &fixture{file: filepath.Join(t.TempDir(), "tenants.db"), log: &bytes.Buffer{}}
	w, err := newWorld(f.log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	db, err := openStore(f.file, bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := w.seed(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(db)
	}
	f.visit = f.start(t, w, db)
	return f
}

// start starts the product, as after a restart.
func (f *fixture) start(t *testing.T, w *world, db *store) *visit {
	t.Helper()
	p, err := newProduct(t.Context(), db, w.config())
	if err != nil {
		t.Fatal(err)
	}
	server := w.listen(p)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { p.follow(ctx, w.ticks); close(ended) }()
	t.Cleanup(func() { server.Close(); cancel(); <-ended; p.validator.Close() })
	return &visit{w, p, server.URL, server.Client()}
}

func (f *fixture) wants(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got %s; want %s\n%s", got, want, f.log)
	}
	for _, deviation := range f.deviations {
		t.Error(deviation)
	}
}

func exec(t *testing.T, statement string) func(*store) {
	return func(s *store) {
		if _, err := s.db.ExecContext(t.Context(), statement); err != nil {
			t.Error(err)
		}
	}
}

func TestABrokenRowDoesNotKeepTheOthersFromStarting(t *testing.T) {
	f := newFixture(t, exec(t, "UPDATE tenants SET issuer = 'ftp://login.example.com' WHERE id = 'globex'"))
	f.wants(t, f.get(t.Context(), "acme.example.com", "/notes", f.token(f.acme, "notes:read")), "200 "+noteOf("acme"))
	globex := f.token(f.globex, "notes:read")
	f.wants(t, f.get(t.Context(), "globex.example.com", "/notes", globex), "401 ISSUER_UNKNOWN")
	f.tick(t.Context()) // no row has changed, so no row is read
	f.script(t.Context(), "UPDATE tenants SET issuer = '"+f.globex.URL+"' WHERE id = 'globex'")
	f.wants(t, f.get(t.Context(), "globex.example.com", "/notes", globex), "200 "+noteOf("globex"))
	if got := strings.Count(f.log.String(), "is broken"); got != 1 {
		t.Errorf("got %d lines about the broken row; want 1:\n%s", got, f.log)
	}
}

// A tenant that is removed must not be served on because another one's row is broken.
func TestABrokenRowDoesNotKeepAnotherTenantFromBeingRemoved(t *testing.T) {
	f := newFixture(t, nil)
	acme, globex := f.token(f.acme, "notes:read"), f.token(f.globex, "notes:read")
	f.wants(t, f.get(t.Context(), "globex.example.com", "/notes", globex), "200 "+noteOf("globex"))
	f.script(t.Context(), "UPDATE tenants SET issuer = '' WHERE id = 'acme'; DELETE FROM tenants WHERE id = 'globex'")
	f.wants(t, f.get(t.Context(), "globex.example.com", "/notes", globex), "401 ISSUER_UNKNOWN")
	f.wants(t, f.get(t.Context(), "acme.example.com", "/notes", acme), "200 "+noteOf("acme"))
}

// If a broken row's tenant stays with a host that another row has got, no tenant changes.
func TestRowsThatContradictEachOther(t *testing.T) {
	f := newFixture(t, nil)
	staff, acme, globex := f.token(f.staff, "tenants:write"), f.token(f.acme, "notes:read"), f.token(f.globex, "notes:read")
	f.script(t.Context(), "UPDATE tenants SET issuer = '', host = 'elsewhere.example.com' WHERE id = 'acme'")
	move := `{"Host": "acme.example.com", "Issuer": "` + f.globex.URL + `"}`
	f.wants(t, f.send(t.Context(), "PUT", "api.example.com", "/tenants/globex", staff, move), "500")
	if err := f.product.refresh(t.Context()); err == nil {
		t.Error("a second refresh: got no error; want the one of the first until a row changes")
	}
	f.wants(t, f.get(t.Context(), "acme.example.com", "/notes", acme), "200 "+noteOf("acme"))
	f.wants(t, f.get(t.Context(), "globex.example.com", "/notes", globex), "200 "+noteOf("globex"))
	f.script(t.Context(), "UPDATE tenants SET issuer = '"+f.acme.URL+"' WHERE id = 'acme'")
	f.wants(t, f.get(t.Context(), "acme.example.com", "/notes", acme), "403 WRONG_TENANT")
	f.wants(t, f.get(t.Context(), "acme.example.com", "/notes", globex), "200 "+noteOf("globex"))
	f.wants(t, f.get(t.Context(), "elsewhere.example.com", "/notes", acme), "200 "+noteOf("acme"))
}

func TestAnOutageOfTheDatabase(t *testing.T) {
	f := newFixture(t, nil)
	acme := f.token(f.acme, "tenants:write notes:read")
	f.product.store.db.Close()
	for range 3 {
		f.ticks <- time.Time{}
	}
	f.wants(t, f.get(t.Context(), "globex.example.com", "/notes", acme), "403 WRONG_TENANT") // the token is good
	if got := strings.Count(f.log.String(), "could not refresh"); got != 1 {
		t.Errorf("got %d lines about the outage; want 1:\n%s", got, f.log)
	}
}

// A tenant that takes over the id and the host of another one does not see its rows.
func TestRowsBelongToTheIssuer(t *testing.T) {
	f := newFixture(t, nil)
	staff, umbrella := f.token(f.staff, "tenants:write"), f.token(f.umbrella, "notes:read")
	f.wants(t, f.send(t.Context(), "PUT", "api.example.com", "/tenants/acme", staff, `{"Host": "acme.example.com", "Issuer": "`+f.umbrella.URL+`"}`), "204")
	f.wants(t, f.get(t.Context(), "acme.example.com", "/notes", umbrella), "200 "+noteOf("umbrella"))
	f.wants(t, f.get(t.Context(), "acme.example.com", "/notes", f.token(f.acme, "notes:read")), "401 ISSUER_UNKNOWN")
}

func TestTheHostOfARequest(t *testing.T) {
	f := newFixture(t, nil)
	acme := f.token(f.acme, "notes:read")
	for host, want := range map[string]string{
		"acme.example.com":      "200 " + noteOf("acme"),
		"ACME.example.com:8090": "200 " + noteOf("acme"),
		"acme.example.com.":     "403 WRONG_TENANT",
		"a.acme.example.com":    "403 WRONG_TENANT",
		"":                      "403 WRONG_TENANT",
	} {
		f.wants(t, f.get(t.Context(), host, "/notes", acme), want)
	}
}

// A tenant with opaque tokens that is removed is refused as if its tokens were garbage,
// because they do not name their issuer.
func TestATenantWithOpaqueTokensIsRemoved(t *testing.T) {
	f := newFixture(t, nil)
	token := f.token(f.initech, "notes:read")
	f.wants(t, f.get(t.Context(), "initech.example.com", "/notes", token), "200 "+noteOf("initech"))
	f.script(t.Context(), "DELETE FROM tenants WHERE id = 'initech'")
	f.wants(t, f.get(t.Context(), "initech.example.com", "/notes", token), "401 TOKEN_MALFORMED")
	f.wants(t, fmt.Sprint(f.initech.Requests(accesstokentest.IntrospectionPath)), "1")
}

// A new host does not cost the tenant its cached answers.
func TestATenantWithOpaqueTokensMoves(t *testing.T) {
	f := newFixture(t, nil)
	token := f.token(f.initech, "notes:read")
	f.wants(t, f.get(t.Context(), "initech.example.com", "/notes", token), "200 "+noteOf("initech"))
	f.script(t.Context(), "UPDATE tenants SET host = 'initrode.example.com' WHERE id = 'initech'")
	f.wants(t, f.get(t.Context(), "initech.example.com", "/notes", token), "403 WRONG_TENANT")
	f.wants(t, f.get(t.Context(), "initrode.example.com", "/notes", token), "200 "+noteOf("initech"))
	f.wants(t, fmt.Sprint(f.initech.Requests(accesstokentest.IntrospectionPath)), "1")
}

// initech replaces the secret of its client. The old one is refused from then on.
func TestANewClientSecretIsReadFromTheRow(t *testing.T) {
	f := newFixture(t, nil)
	first := f.token(f.initech, "notes:read")
	f.wants(t, f.get(t.Context(), "initech.example.com", "/notes", first), "200 "+noteOf("initech"))
	f.initech.Handle(accesstokentest.IntrospectionPath, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, secret, _ := r.BasicAuth(); secret == "new" {
			r.SetBasicAuth(url.QueryEscape(accesstokentest.ClientID), url.QueryEscape(accesstokentest.ClientSecret))
		} else {
			r.Header.Del("Authorization")
		}
		f.initech.Endpoint(accesstokentest.IntrospectionPath).ServeHTTP(w, r)
	}))
	rows, err := f.product.store.tenants(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.product.store.put(t.Context(), rows[2], "new"); err != nil {
		t.Fatal(err)
	}
	f.wants(t, f.get(t.Context(), "initech.example.com", "/notes", f.token(f.initech, "notes:read")), "200 "+noteOf("initech"))
	f.tick(t.Context()) // the version has changed, but the client has not
	f.wants(t, f.get(t.Context(), "initech.example.com", "/notes", first), "200 "+noteOf("initech"))
	f.wants(t, fmt.Sprint(f.initech.Requests(accesstokentest.IntrospectionPath)), "3") // one for each token, and one that was refused
}

// Neither a copy of the database nor the right to write to it gives a secret away.
func TestClientSecretsAreEncrypted(t *testing.T) {
	f := newFixture(t, nil)
	for _, name := range []string{f.file, f.file + "-wal"} {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte(accesstokentest.ClientSecret)) {
			t.Errorf("%s has a secret in clear", filepath.Base(name))
		}
	}
	f.script(t.Context(), "UPDATE tenants SET introspect = '"+f.umbrella.IntrospectionEndpoint()+"' WHERE id = 'initech'")
	f.wants(t, f.get(t.Context(), "initech.example.com", "/notes", f.token(f.initech, "notes:read")), "503 INTROSPECTION_UNAVAILABLE")
	f.wants(t, fmt.Sprint(f.umbrella.Requests(accesstokentest.IntrospectionPath)), "0")
	if !strings.Contains(f.log.String(), "could not read the client secret") {
		t.Errorf("no line says that the secret cannot be read:\n%s", f.log)
	}
}

func TestATenantWhoseIssuerIsDownDoesNotMakeTheProductUnready(t *testing.T) {
	f := newFixture(t, nil)
	f.globex.Break(accesstokentest.JWKSPath, accesstokentest.Fault{Status: 503})
	if err := f.product.validator.Warm(t.Context()); err == nil || !strings.Contains(err.Error(), f.globex.URL) {
		t.Errorf("Warm: got %v; want that the keys of globex are missing", err)
	}
	if err := f.product.validator.Ready(); err != nil {
		t.Errorf("Ready: got %v; want nil", err)
	}
}

// A restart finds the tenants of the database, and so does another replica.
func TestARestart(t *testing.T) {
	f := newFixture(t, nil)
	f.script(t.Context(), "DELETE FROM tenants WHERE id = 'globex'")
	db, err := openStore(f.file, bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	again := f.start(t, f.world, db)
	f.wants(t, again.get(t.Context(), "acme.example.com", "/notes", f.token(f.acme, "notes:read")), "200 "+noteOf("acme"))
	f.wants(t, again.get(t.Context(), "initech.example.com", "/notes", f.token(f.initech, "notes:read")), "200 "+noteOf("initech"))
	f.wants(t, again.get(t.Context(), "globex.example.com", "/notes", f.token(f.globex, "notes:read")), "401 ISSUER_UNKNOWN")
	if _, err := openStore(f.file, []byte("short")); err == nil {
		t.Error("a key that is too short: got no error; want one")
	}
}
