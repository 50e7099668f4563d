// Command quickstart demonstrates OAuth 2.0 and OpenID Connect on one machine. It
// runs an authorization server, a third-party client, a relying party, and a drive
// over net/http, Echo and gRPC behind one validator.
//
//	go run ./quickstart              # then open the page whose URL it prints
//	go run ./quickstart -once        # without a browser: prints every step and every refusal
//
// It listens on loopback only. You should use it for demonstrations only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address of the page, on a loopback host; the other parties use the ports after it")
	once := flag.Bool("once", false, "run everything without a browser, print it and exit, with status 0 only if every result was as expected")
	flag.Parse()
	// The op package logs to slog's default logger. Only the page and the terminal should show what happens.
	slog.SetDefault(slog.New(slog.DiscardHandler))

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, *addr, *once); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run starts the demo. If once is set, it runs every flow and every trial; otherwise it
// serves until ctx ends. Then it closes the demo.
func run(ctx context.Context, out io.Writer, addr string, once bool) error {
	host, port, err := split(addr)
	if err != nil {
		return err
	}
	if once {
		port = 0
	}
	d, err := start(ctx, options{host: host, port: port, out: out})
	if err != nil {
		return fmt.Errorf("-addr %s: %w", addr, err)
	}
	if once {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		return errors.Join(d.once(ctx, out), d.Close())
	}
	fmt.Fprintf(out, "\n  Open        %s\n  Log in as   %s\n  Password    %s\n  Stop        Ctrl-C\n\n", d.page, alice.Login, alice.Password)
	<-ctx.Done()
	fmt.Fprintln(out, "\nStopped.")
	return d.Close()
}

// split splits -addr into host and port. An address without a host, for example
// :8080, is refused later, because the whole network could reach the demo.
func split(addr string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("-addr: %q is not host:port: %w", addr, err)
	}
	port, err = strconv.Atoi(text)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("-addr: %q is not a port; want 0 to 65535", text)
	}
	return host, port, nil
}
