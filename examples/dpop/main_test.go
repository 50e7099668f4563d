package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
)

func TestOnce(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out, "127.0.0.1:0", true); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if got := strings.Count(out.String(), "\n"); got != 8 {
		t.Errorf("got %d lines; want one for each of 8 requests:\n%s", got, out.String())
	}
	for _, want := range []string{
		"the client: makes a new proof with the nonce   200\n",
		"the thief: replays the client's request        401 invalid_dpop_proof\n",
		"the thief: sends the token as a bearer token   401 invalid_token\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "eyJ") {
		t.Error("there is a token in the output")
	}
}

// Without -once the program serves until it is stopped, and prints the token.
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
	if !strings.Contains(shown, "curl -i -H 'Authorization: DPoP eyJ") {
		t.Errorf("there is no token to try in:\n%s", shown)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAnAddressThatIsNoLoopback(t *testing.T) {
	if err := run(t.Context(), io.Discard, "0.0.0.0:0", true); err == nil || !strings.Contains(err.Error(), "http") {
		t.Errorf("got %v; want that http is for loopback only", err)
	}
}
