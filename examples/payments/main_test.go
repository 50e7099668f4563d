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
	if got := strings.Count(out.String(), "\n"); got != 14 {
		t.Errorf("got %d lines; want one for each of 14 orders:\n%s", got, out.String())
	}
	for _, want := range []string{
		"JWT     with what the policy has asked for           401 insufficient_authorization\n",
		"JWT     with what the handler has asked for          201\n",
		"opaque  the same token, for a higher amount          401 insufficient_authorization\n",
		"opaque  with what the handler has asked for          201\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "eyJ") {
		t.Error("there is a token in the output")
	}
}

// Without -once the program serves until it is stopped, and prints a token.
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
	if !strings.Contains(shown, "curl -i -H 'Authorization: Bearer eyJ") {
		t.Errorf("there is no token to try in:\n%s", shown)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
