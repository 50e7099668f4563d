package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/examples/quickstart/issuer"
	"github.com/accesstoken/accesstoken/examples/quickstart/loopback"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the authorization server logs to it
	os.Exit(m.Run())
}

func TestOnce(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out, 0, true); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	rest := out.String()
	for _, want := range []string{
		"POST /mcp server/discover → 401", "GET  /.well-known/oauth-protected-resource/mcp → 200", "GET  /.well-known/oauth-authorization-server → 200",
		`GET  /authorize scope="notes:read" → 302`, "POST /oauth/token → 200", "POST /mcp tools/call notes_list → 200",
		"POST /mcp tools/call notes_add → 403", "GET  /login → 303", "POST /oauth/token → 200", "POST /mcp tools/call notes_add → 200",
		"POST /mcp tools/call notes_delete → 401", `acr_values="urn:example:mfa" max_age="300" → 302`, "GET  /login → 200", "POST /mcp tools/call notes_delete → 401", "the client gives up",
		"POST /mcp tools/call notes_delete → 401", `acr_values="urn:example:mfa" max_age="300" → 302`, "GET  /login → 200", "POST /mcp tools/call notes_delete → 200", `{"notes":[],"owner":"user-7f3a"}`,
	} {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Fatalf("%q is missing, or not in this order, in:\n%s", want, out.String())
		}
		rest = after
	}
	var demands []string
	for line := range strings.Lines(out.String()) {
		if strings.Contains(line, "insufficient_user_authentication") {
			demands = append(demands, line)
		}
	}
	if len(demands) != 3 || len(slices.Compact(demands)) != 1 {
		t.Errorf("got the challenges %q; want the same one, three times", demands)
	}
	if strings.Contains(out.String(), "eyJ") {
		t.Error("there is a token in the output")
	}
}

func TestADeviationIsFound(t *testing.T) {
	c := calls[1]
	for name, test := range map[string]struct {
		result     string
		challenges []string
		ok         bool
	}{
		"as expected":       {c.result, c.refusals, true},
		"another result":    {"{}", c.refusals, false},
		"another challenge": {c.result, []string{"Bearer"}, false},
		"no challenge":      {c.result, nil, false},
	} {
		if err := c.check(test.result, test.challenges); (err == nil) != test.ok {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if calls[2].check("{}", calls[2].refusals) == nil {
		t.Error("a call that is done, and should not be: got nil")
	}
}

// Without -once the program serves until it is stopped, and prints how to connect a client.
func TestItServesOn(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, writer, 0, false)
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
	endpoint := regexp.MustCompile(`MCP server +(http://127\.0\.0\.1:\d+/mcp)\n`).FindStringSubmatch(shown)
	secret := regexp.MustCompile(`Client secret +(\w+)\n`).FindStringSubmatch(shown)
	if endpoint == nil || secret == nil || !strings.Contains(shown, "claude mcp add") {
		t.Fatalf("want the URL, the client's registration and a command in:\n%s", shown)
	}
	// What is printed is enough.
	registered := issuer.Client{ID: "notes-client", Secret: secret[1], RedirectURI: "http://localhost:8092/callback"}
	if err := drive(ctx, io.Discard, endpoint[1], registered); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// If the identifier is not the URL that the client requested, the client does not ask the
// user (RFC 9728 §3.3).
func TestAClientRefusesAnotherIdentifier(t *testing.T) {
	listener, err := loopback.Listen(host, 0)
	if err != nil {
		t.Fatal(err)
	}
	base := loopback.URL(host, listener)
	registered := issuer.Client{ID: "notes-client", Secret: "secret", JWT: true, RedirectURI: "http://localhost:8092/callback"}
	as, issuerURL, err := startIssuer(base+"/other", registered)
	if err != nil {
		t.Fatal(err)
	}
	v, err := newValidator(base+"/other", issuerURL)
	if err != nil {
		t.Fatal(err)
	}
	handler, err := newServer(v, listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server := loopback.Serve(listener, handler)
	t.Cleanup(func() {
		for _, c := range []io.Closer{server, as, v} {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	var out bytes.Buffer
	if err := drive(t.Context(), &out, base+"/mcp", registered); err == nil || strings.Contains(out.String(), "POST /login") {
		t.Errorf("got %v; want an error, and no login, in:\n%s", err, out.String())
	}
}
