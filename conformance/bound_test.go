package conformance

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/grpcauth"
)

// bound is a good request with a token that is bound to a key.
var bound = vector{Config: offered, Token: boundTo("jkt"), Proof: &recipe{}}

// TestChallengesOfBothSchemes compares the exact lines of WWW-Authenticate, because
// some clients compare them as text.
func TestChallengesOfBothSchemes(t *testing.T) {
	const (
		realm = `realm="https://api.example.com"`
		algs  = `algs="ES256 PS256"`
	)
	few := setup{DPoP: &dpopSetup{Algorithms: []string{"ES256", "PS256"}}}
	admin := setup{DPoP: few.DPoP, All: []string{"admin"}}
	for _, test := range []struct {
		name   string
		vector vector
		want   []string
	}{
		{"no credentials", vector{Config: admin, Lines: []string{}}, []string{
			"Bearer " + realm + `, scope="admin"`,
			"DPoP " + realm + `, scope="admin", ` + algs}},
		{"a bad token as Bearer", vector{Config: few, Token: recipe{Mutate: "flip signature"}}, []string{
			"Bearer " + realm + `, error="invalid_token", error_description="the access token is invalid"`,
			"DPoP " + realm + `, ` + algs}},
		{"a bad token as DPoP", vector{Config: few, Proof: &recipe{}, Token: recipe{Mutate: "flip signature"}}, []string{
			"DPoP " + realm + `, error="invalid_token", error_description="the access token is invalid", ` + algs,
			"Bearer " + realm}},
		{"a bound token as Bearer", vector{Config: few, Token: boundTo("jkt")}, []string{
			"Bearer " + realm + `, error="invalid_token", error_description="the access token must be sent with proof of possession"`,
			"DPoP " + realm + `, ` + algs}},
		{"a bad proof", vector{Config: few, Token: boundTo("jkt"), Proof: &recipe{Mutate: "flip signature"}}, []string{
			"DPoP " + realm + `, error="invalid_dpop_proof", error_description="the DPoP proof is invalid", ` + algs,
			"Bearer " + realm}},
		{"no nonce", vector{Config: setup{DPoP: &dpopSetup{Algorithms: few.DPoP.Algorithms, Nonces: true}}, Token: boundTo("jkt"), Proof: &recipe{}}, []string{
			"DPoP " + realm + `, error="use_dpop_nonce", error_description="the DPoP proof must carry the nonce", ` + algs,
			"Bearer " + realm}},
		{"too few scopes", vector{Config: admin, Token: boundTo("jkt"), Proof: &recipe{}}, []string{
			"DPoP " + realm + `, error="insufficient_scope", error_description="the access token lacks a required scope", scope="admin", ` + algs,
			"Bearer " + realm}},
		{"the scheme without a token", vector{Config: few, Lines: []string{"DPoP"}}, []string{
			"DPoP " + realm + `, error="invalid_request", error_description="the credentials are malformed", ` + algs,
			"Bearer " + realm + `, error="invalid_request", error_description="the credentials are malformed"`}},
		{"a lost store", vector{Config: setup{DPoP: &dpopSetup{Store: "down"}}, Token: boundTo("jkt"), Proof: &recipe{}}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := earth.play(t, test.vector)
			earth.set(t, s)
			token := earth.token(t, test.vector.Token)
			for _, c := range earth.transports {
				a := ask(t, c, test.vector.request(t, earth, token, c))
				if got := a.challenge(); !slices.Equal(got, test.want) {
					t.Errorf("%s: got %q; want %q", a.transport, got, test.want)
				}
			}
		})
	}
}

// TestAClientIsGivenANonce behaves like a client of RFC 9449 §9: it is refused, takes
// the nonce from the refusal, and tries again.
func TestAClientIsGivenANonce(t *testing.T) {
	v := bound
	v.Config.DPoP = &dpopSetup{Nonces: true}
	s := earth.play(t, v)
	stage := earth.set(t, s)
	token := earth.token(t, v.Token)
	for _, c := range earth.transports {
		v.Proof = &recipe{}
		refused := ask(t, c, v.request(t, earth, token, c))
		if got := refused.nonces(); len(got) != 1 {
			t.Fatalf("%s: got the nonces %q; want one", c.name, got)
		}
		v.Proof = &recipe{Claims: members(`{"nonce": "` + refused.nonces()[0] + `"}`)}
		s.letIn(t, stage, c, v.request(t, earth, token, c))
	}
}

// TestAProofIsGoodOnceOverAllTransports checks that all versions of HTTP share one
// store of used proofs, because the resource is the same.
func TestAProofIsGoodOnceOverAllTransports(t *testing.T) {
	s := earth.play(t, bound)
	stage := earth.set(t, s)
	all := earth.only(true)
	token := earth.token(t, bound.Token)
	again := expectation{outcome: outcomes["PROOF"], reason: accesstoken.DPoPProofReplayed, dpop: bound.offer(s)}
	for first := range all {
		sent := bound.request(t, earth, token, all[first])
		s.letIn(t, stage, all[first], sent)
		for _, c := range all {
			again.check(t, ask(t, c, sent))
			again.checkTold(t, c.name, s.told(), token)
		}
	}
	if ran := len(stage.ran()); ran != 0 {
		t.Errorf("the handlers ran %d times for proofs that were used; want none", ran)
	}
}

// TestOfAHundredEqualProofsOnePasses sends equal proofs concurrently, over all versions
// of HTTP.
func TestOfAHundredEqualProofsOnePasses(t *testing.T) {
	s := earth.play(t, bound)
	stage := earth.set(t, s)
	all := earth.only(true)
	sent := bound.request(t, earth, earth.token(t, bound.Token), all[0])
	const equal = 100
	statuses := make([]int, equal)
	var start, done sync.WaitGroup
	start.Add(1)
	for i := range statuses {
		done.Go(func() {
			start.Wait()
			answer, err := all[i%len(all)].send(t.Context(), sent)
			if err != nil {
				t.Error(err)
			}
			statuses[i] = answer.status
		})
	}
	start.Done()
	done.Wait()
	count := map[int]int{}
	for _, status := range statuses {
		count[status]++
	}
	if count[http.StatusOK] != 1 || count[http.StatusUnauthorized] != equal-1 {
		t.Errorf("got %v; want one 200 and %d times 401", count, equal-1)
	}
	if ran := len(stage.ran()); ran != 1 {
		t.Errorf("the handlers ran %d times; want once", ran)
	}
}

// TestAStreamNeedsOneProof checks a stream whose token is checked again while it is
// open. It has sent its proof already, and cannot send a second one.
func TestAStreamNeedsOneProof(t *testing.T) {
	opaque := canary + "-opaque"
	v := bound
	v.Config.Issuer.Introspection = true
	v.Token = recipe{Literal: &opaque, Answer: members(`{"cnf": {"jkt": "${jkt}"}, "token_type": "DPoP"}`)}
	s := earth.play(t, v)
	s.policy.FreshIntrospection = true // so that the second look can be seen
	earth.set(t, s)
	c := earth.only(false)[1]
	rpc.guard(&grpcauth.Options{Methods: map[string]accesstoken.Policy{c.path: s.policy}, StreamCheck: time.Second})
	sent := v.request(t, earth, earth.token(t, v.Token), c)
	before := earth.requests()
	ctx := metadata.NewOutgoingContext(t.Context(), metadata.Pairs("authorization", sent.lines[0], "dpop", sent.proof))
	stream, err := rpc.conns[""].NewStream(ctx, &description.Streams[0], c.path)
	if err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return earth.grew(before)["as"] >= 2 })
	if err := stream.SendMsg(new(emptypb.Empty)); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(new(emptypb.Empty)); err != nil {
		t.Errorf("got %v; want the stream to go on", err)
	}
	if uses := s.store.uses.Load(); uses != 1 {
		t.Errorf("the store was asked %d times; want once", uses)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(new(emptypb.Empty)); fmt.Sprint(err) != "EOF" {
		t.Errorf("got %v; want the end of the stream", err)
	}
}

// await waits until a condition becomes true.
func await(t *testing.T, happened func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !happened() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it has not happened")
		}
	}
}

// TestNoSpellingOfATargetGetsAroundAProof writes the request line in many ways. In none
// of them does a proof for one resource open another.
func TestNoSpellingOfATargetGetsAroundAProof(t *testing.T) {
	s := earth.play(t, bound)
	stage := earth.set(t, s)
	token := earth.token(t, bound.Token)
	all := earth.only(true)[0]
	for target, same := range map[string]bool{
		"/resource": true, "/resource?x=/open": true, "/%72esource": true, "/./resource": true, "/x/../resource": true, "/resource?": true,
		"https://evil.example/resource": true, "http://api.example.com/resource?x": true, // absolute-form
		"/": false, "/resource/": false, "//resource": false, "/RESOURCE": false, "/resource;x": false, "/resource%3fx": false, "/resource%23": false,
		"/%2fresource": false, "/resource%2f": false, "/resource%00": false, "/resource%20": false, "/resource/x/..": false, "/..%2fresource": false,
		"/resource/%2e%2e": false, "/resource%2e": false, "/resource\\": false, "/resource#x": false, "/resource%252e": false, "/https://api.example.com/resource": false,
		"//api.example.com/resource": false, "https://api.example.com/open": false, "https://api.example.com": false, "https://api.example.com?/resource": false,
	} {
		sent := bound.request(t, earth, token, all)
		status := earth.raw(t, "GET "+target+" HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n"+
			"Authorization: "+sent.lines[0]+"\r\ndpop: "+sent.proof+"\r\n\r\n")
		if got := status == http.StatusOK; got != same || len(stage.ran()) > 0 != same {
			t.Errorf("%s: got %d; want the proof for /resource to be good for it: %v", target, status, same)
		}
		if status >= http.StatusInternalServerError {
			t.Errorf("%s: got %d; want no fault of ours", target, status)
		}
	}
}

// TestTheFieldAsItIsWritten sends header lines that net/http's client would not send.
func TestTheFieldAsItIsWritten(t *testing.T) {
	s := earth.play(t, bound)
	stage := earth.set(t, s)
	token := earth.token(t, bound.Token)
	for lines, good := range map[string]bool{
		"DPOP: PROOF":                       true,
		"dPoP:\t PROOF \t":                  true,
		"DPoP: PROOF\r\ndpop: PROOF":        false,
		"DPoP: PROOF\r\nDPOP:":              false,
		"DPoP:\r\nDPoP: PROOF":              false,
		"DPoP: PROOF, PROOF":                false,
		"DPoP: ,PROOF":                      false,
		"DPoP: PROOF,":                      false,
		"DPoP: PROOF; x=y":                  false,
		"DPoP: \"PROOF\"":                   false,
		"DPoP : PROOF":                      false, // RFC 9112 §5.1
		"X: y\r\n DPoP: PROOF":              false, // part of X (RFC 9112 §5.2)
		"DPoP: PROOF\r\n PROOF":             false,
		"D_PoP: PROOF":                      false,
		"DPoP\x00: PROOF":                   false,
		"Trailer: DPoP\r\nX-DPoP: PROOF":    false,
		"Connection: DPoP\r\nDPoP: PROOF":   true, // for proxies
		"DPoP: PROOF\r\nAuthorization: x":   false,
		"DPoP: PROOF\r\nauthorization: ALL": false,
	} {
		sent := bound.request(t, earth, token, earth.only(true)[0])
		lines = strings.NewReplacer("PROOF", sent.proof, "ALL", sent.lines[0]).Replace(lines)
		status := earth.raw(t, "GET /resource HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: "+sent.lines[0]+"\r\n"+lines+"\r\n\r\n")
		if got := status == http.StatusOK; got != good || len(stage.ran()) > 0 != good || status >= http.StatusInternalServerError {
			t.Errorf("%q: got %d; want it accepted: %v", strings.ReplaceAll(lines, sent.proof, "PROOF"), status, good)
		}
	}
}

// raw sends the literal text to the server of net/http, and returns the status.
func (w *world) raw(t *testing.T, text string) (status int) {
	t.Helper()
	config := w.network.clients[""].http1.Transport.(*http.Transport).TLSClientConfig.Clone()
	config.NextProtos = []string{"http/1.1"}
	dialer := tls.Dialer{Config: config}
	conn, err := dialer.DialContext(t.Context(), "tcp", w.transports[0].server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}
