package fetch_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/accesstoken/accesstoken/internal/fetch"
	"golang.org/x/net/dns/dnsmessage"
)

func TestDISC05WhichAddressesArePublic(t *testing.T) {
	for kind, addresses := range map[string][]string{
		"public": {
			"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
			"168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255",
			"192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255",
			"2001:4860:4860::8888", "2600::", "2606:4700::1111", "2620:fe::fe", "2a00:1450:4001::200e", "3ffe:ffff::1",
		},
		"this network":                    {"0.0.0.0", "0.1.2.3", "::"},
		"loopback":                        {"127.0.0.1", "127.255.255.254", "::1"},
		"private":                         {"10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1"},
		"unique local":                    {"fc00::1", "fd00::1", "fd00:ec2::254", "fdff:ffff::1"},
		"link-local":                      {"169.254.0.1", "169.254.169.254", "169.254.170.2", "fe80::1", "fe80::1%1", "febf::1"},
		"site-local":                      {"fec0::1", "feff::1"},
		"shared (RFC 6598)":               {"100.64.0.1", "100.100.100.200", "100.127.255.255"},
		"of a platform":                   {"168.63.129.16", "192.0.0.192"},
		"of the IETF":                     {"192.0.0.1", "192.0.0.170", "192.88.99.1", "2001::1", "2001:1ff::1"},
		"benchmarking":                    {"198.18.0.1", "198.19.255.255", "2001:2::1"},
		"documentation":                   {"192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1", "3fff:fff::1"},
		"multicast":                       {"224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"},
		"reserved":                        {"240.0.0.1", "255.255.255.254", "4000::1", "5f00::1", "100::1", "1fff::1", "e000::1"},
		"broadcast":                       {"255.255.255.255"},
		"IPv4-mapped":                     {"::ffff:10.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:8.8.8.8"},
		"IPv4-compatible and -translated": {"::10.0.0.1", "::127.0.0.1", "::8.8.8.8", "::ffff:0:10.0.0.1"},
		"NAT64":                           {"64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "64:ff9b:1:a9fe:a9:fe00::"},
		"6to4":                            {"2002:a00:1::1", "2002:7f00:1::1", "2002:a9fe:a9fe::1", "2002:808:808::1"},
		"Teredo":                          {"2001::f5ff:fffe", "2001:0:4136:e378:8000:63bf:5601:5601"},
	} {
		for _, address := range addresses {
			a := netip.MustParseAddr(address)
			network := "tcp6"
			if a.Is4() {
				network = "tcp4"
			}
			for _, port := range []uint16{443, 80, 8443} {
				if got := fetch.IsPublic(network, netip.AddrPortFrom(a, port).String()); got != (kind == "public") {
					t.Errorf("%s, port %d (%s): got public %t", address, port, kind, got)
				}
			}
		}
	}
	for _, strange := range []string{"", "8.8.8.8", "dns.google:443", "8.8.8.8:443:443", "8.8.8.8:65536"} {
		if fetch.IsPublic("tcp4", strange) {
			t.Errorf("%q: got public; want what cannot be read refused", strange)
		}
	}
	for _, network := range []string{"tcp", "udp4", "unix", ""} {
		if fetch.IsPublic(network, "8.8.8.8:443") {
			t.Errorf("%q: got public; want nothing but TCP", network)
		}
	}
}

// A listener on a loopback address that wants to be left alone.
type listener struct{ net.Listener }

func listen(t *testing.T, address string) listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return listener{l}
}

func (l listener) port(t *testing.T) string {
	t.Helper()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// wantUntouched connects, and wants to be the first.
func (l listener) wantUntouched(t *testing.T) {
	t.Helper()
	ours, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if first.RemoteAddr().String() != ours.LocalAddr().String() {
		t.Errorf("%v: there was a connection; want none", l.Addr())
	}
}

func wantRefused(t *testing.T, client *fetch.Client, place, address string) {
	t.Helper()
	_, err := client.Do(t.Context(), fetch.Request{URL: place, MaxBytes: 100})
	want := "GET " + place + ": the host resolves to " + address + ", which is not a public address; PublicAddressesOnly refuses servers inside your own network"
	if !errors.Is(err, fetch.ErrNotPublic) || err.Error() != want {
		t.Errorf("got %v; want %q", err, want)
	}
}

func closing(t *testing.T, client *fetch.Client) *fetch.Client {
	t.Helper()
	t.Cleanup(client.Close)
	return client
}

func TestDISC05APublicClientConnectsToNothingInside(t *testing.T) {
	listeners := []listener{listen(t, "127.0.0.1:0")}
	port := listeners[0].port(t)
	if l, err := net.Listen("tcp", "[::1]:"+port); err == nil { // not every machine has IPv6
		defer l.Close()
		listeners = append(listeners, listener{l})
	}
	client := closing(t, fetch.NewPublic())
	for place, address := range map[string]string{
		"https://127.0.0.1:" + port + "/": "127.0.0.1",
		"http://127.0.0.1:" + port + "/":  "127.0.0.1",
		"https://[::1]:" + port + "/":     "::1",
		"https://169.254.169.254/":        "169.254.169.254",
		"https://[::ffff:10.0.0.1]/":      "10.0.0.1",
	} {
		wantRefused(t, client, place, address)
	}
	// It may lead to two addresses, and the error names the first that was tried.
	_, err := client.Do(t.Context(), fetch.Request{URL: "https://localhost:" + port + "/", MaxBytes: 100})
	if !errors.Is(err, fetch.ErrNotPublic) {
		t.Errorf("localhost: got %v; want ErrNotPublic", err)
	}
	_, err = client.Do(t.Context(), fetch.Request{URL: "https://127.0.0.1/", Form: url.Values{"token": {"s3cret"}}, MaxBytes: 100})
	if !errors.Is(err, fetch.ErrNotPublic) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a form: got %v; want ErrNotPublic", err)
	}
	for _, l := range listeners {
		l.wantUntouched(t)
	}
}

// answers resolves by a DNS server on loopback: every name leads to the first
// addresses at the first question, to the next at the next, to the last for ever.
func answers(t *testing.T, sequence ...[]string) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { server.Close(); <-done })
	go func() {
		defer close(done)
		asked := map[dnsmessage.Type]int{}
		packet := make([]byte, 512)
		for {
			n, from, err := server.ReadFrom(packet)
			if err != nil {
				return
			}
			var message dnsmessage.Message
			if message.Unpack(packet[:n]) != nil || len(message.Questions) != 1 {
				continue
			}
			kind := message.Questions[0].Type
			answer(&message, sequence[min(asked[kind], len(sequence)-1)])
			asked[kind]++
			if reply, err := message.Pack(); err == nil {
				_, _ = server.WriteTo(reply, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

func answer(message *dnsmessage.Message, addresses []string) {
	message.Response, message.Authoritative, message.RecursionAvailable = true, true, true
	message.Additionals = nil
	question := message.Questions[0]
	header := dnsmessage.ResourceHeader{Name: question.Name, Type: question.Type, Class: question.Class}
	for _, address := range addresses {
		a := netip.MustParseAddr(address)
		switch {
		case question.Type == dnsmessage.TypeA && a.Is4():
			message.Answers = append(message.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: a.As4()}})
		case question.Type == dnsmessage.TypeAAAA && a.Is6():
			message.Answers = append(message.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
}

func TestDISC05ANameLeadsInside(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	for _, c := range []struct {
		name      string
		addresses []string
		want      string
	}{
		{"loopback", []string{"127.0.0.1"}, "127.0.0.1"},
		{"the metadata of a cloud", []string{"169.254.169.254"}, "169.254.169.254"},
		{"IPv4-mapped", []string{"::ffff:10.0.0.1"}, "10.0.0.1"},
		{"IPv4-mapped loopback", []string{"::ffff:127.0.0.1"}, "127.0.0.1"},
		{"IPv6", []string{"fd00:ec2::254"}, "fd00:ec2::254"},
		{"several", []string{"10.0.0.1", "127.0.0.1", "169.254.169.254"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := closing(t, fetch.NewPublicBy(net.Dialer{Resolver: answers(t, c.addresses)}))
			place := "https://keys.example.com:" + l.port(t) + "/jwks"
			if c.want != "" {
				wantRefused(t, client, place, c.want)
			} else if _, err := client.Do(t.Context(), fetch.Request{URL: place, MaxBytes: 100}); !errors.Is(err, fetch.ErrNotPublic) {
				t.Errorf("got %v; want ErrNotPublic", err)
			}
		})
	}
	l.wantUntouched(t)
}

// The connection to the public address is made from 127.0.0.1, and so fails
// after it was judged, before anything leaves the machine.
func TestDISC05ANameIsRebound(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	client := closing(t, fetch.NewPublicBy(net.Dialer{
		Resolver:  answers(t, []string{"8.8.8.8"}, []string{"127.0.0.1"}),
		LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)},
	}))
	place := "https://keys.example.com:" + l.port(t) + "/jwks"
	_, err := client.Do(t.Context(), fetch.Request{URL: place, MaxBytes: 100})
	if err == nil || errors.Is(err, fetch.ErrNotPublic) || !strings.Contains(err.Error(), "8.8.8.8") {
		t.Errorf("the first time: got %v; want the public address tried", err)
	}
	wantRefused(t, client, place, "127.0.0.1")
	l.wantUntouched(t)
}

func TestDISC05APublicClientKnowsNoProxy(t *testing.T) {
	var asked atomic.Bool
	standard := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = standard })
	l := listen(t, "127.0.0.1:0")
	outward := func(ctx context.Context, network, _ string) (net.Conn, error) {
		asked.Store(true)
		return new(net.Dialer).DialContext(ctx, network, l.Addr().String())
	}
	http.DefaultTransport = &http.Transport{
		Proxy: func(*http.Request) (*url.URL, error) {
			asked.Store(true)
			return url.Parse("http://" + l.Addr().String())
		},
		DialContext:    outward,
		DialTLSContext: outward,
	}
	client := closing(t, fetch.NewPublic())
	wantRefused(t, client, "https://127.0.0.1/", "127.0.0.1")
	if asked.Load() {
		t.Error("what the program set for other requests was used; want nothing of it")
	}
	l.wantUntouched(t)
}
