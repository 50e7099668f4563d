// Command quickstart plays OAuth 2.0 and OpenID Connect on one machine: an
// authorization server, a third-party client, a relying party, and a drive over
// net/http, Echo and gRPC behind one validator.
//
//	go run ./quickstart              # then open the page it names
//	go run ./quickstart -once        # without a browser: prints every step and every refusal
//
// It serves loopback only and is for demonstrations only.
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
	addr := flag.String("addr", "127.0.0.1:8080", "the page's address, on a loopback host; the other parties take the ports after it")
	once := flag.Bool("once", false, "play everything without a browser, print it, and exit: 0 only if all was as it must be")
	flag.Parse()
	// op logs through slog's default; the page and the terminal tell the story.
	slog.SetDefault(slog.New(slog.DiscardHandler))

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, *addr, *once); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run starts the demo, plays it or serves it until ctx ends, and closes it.
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
	fmt.Fprintln(out, "\nGood-bye.")
	return d.Close()
}

// split reads -addr. Its host must be written out: without one, the whole
// network could reach the demo.
func split(addr string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("-addr: %q is not host:port: %w", addr, err)
	}
	port, err = strconv.Atoi(text)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("-addr: %q is not a port", text)
	}
	return host, port, nil
}
