package middleware_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
	"golang.org/x/net/http2/hpack"

	"github.com/accesstoken/accesstoken/internal/adaptertest"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

// One proof, sent with the upgrade to h2c and with each of the connection's later
// requests: the context of the upgrade is theirs.
func TestAProofIsUsedOnceOnAnH2CConnection(t *testing.T) {
	prover := adaptertest.NewProver(t, as, "a")
	auth := middleware.New(adaptertest.NewValidator(t, as, prover.Config), nil)
	var served atomic.Int64
	inner := auth.Require(scopes.All("a")).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		w.WriteHeader(http.StatusNoContent)
	}))
	server := httptest.NewServer(auth.Wrap(h2c.NewHandler(inner, new(http2.Server))))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	fields := prover.Fields(t, prover.Nonce())
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n%s: %s\r\n%s: %s\r\n\r\n", fields[0], fields[1], fields[2], fields[3])
	reader := bufio.NewReader(conn)
	for line := ""; line != "\r\n"; {
		if line, err = reader.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = io.WriteString(conn, http2.ClientPreface)
	framer := http2.NewFramer(conn, reader)
	_ = framer.WriteSettings()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for stream := uint32(3); stream <= 9; stream += 2 {
		block.Reset()
		for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "x"}, {":path", "/?n=" + fmt.Sprint(stream)}, {"authorization", fields[1]}, {"dpop", fields[3]}} {
			_ = encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
		_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
	}
	decoder := hpack.NewDecoder(4096, nil)
	status := map[uint32]string{}
	for len(status) < 5 {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("%v, after %v", err, status)
		}
		if headers, ok := frame.(*http2.HeadersFrame); ok {
			all, _ := decoder.DecodeFull(headers.HeaderBlockFragment())
			status[headers.StreamID] = all[0].Value
		}
	}
	if served.Load() > 1 {
		t.Errorf("got %d requests served with one proof, the statuses %v; want 1, and 401 for the others", served.Load(), status)
	}
}
