package accesstokentest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/MicahParks/keyfunc/v3"

	"github.com/accesstoken/accesstoken/accesstokentest"
)

const (
	jwksPath     = accesstokentest.JWKSPath
	metadataPath = accesstokentest.OAuthMetadataPath

	patience = 10 * time.Second // a longer wait means that the test has failed
)

type fault = accesstokentest.Fault

// request makes a request for the key set and returns an answer whose body is
// still to be read.
func request(ctx context.Context, as *accesstokentest.Server, method string, header http.Header) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, as.JWKSURI(), nil)
	if err != nil {
		return nil, err
	}
	if header != nil {
		r.Header = header
	}
	client := *as.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client.Do(r)
}

// exchange makes a request for the key set and returns the whole answer.
func exchange(t *testing.T, as *accesstokentest.Server, method string, header http.Header) (*http.Response, []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	res, err := request(ctx, as, method, header)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, body
}

// await returns once the condition holds.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("after %v it is not so that %s", patience, what)
		}
	}
}

func TestFaultsAlterTheGenuineAnswer(t *testing.T) {
	as := accesstokentest.NewServer(t)
	genuine, keys := exchange(t, as, http.MethodGet, nil)
	contentType, etag := genuine.Header.Get("Content-Type"), genuine.Header.Get("ETag")
	cases := []struct {
		name   string
		fault  fault
		status int
		header map[string]string // "" is absent
		body   []byte
	}{
		{"nothing wrong", fault{},
			200, map[string]string{"Content-Type": contentType, "ETag": etag}, keys},
		{"another status", fault{Status: 503},
			503, map[string]string{"Content-Type": contentType, "ETag": etag}, keys},
		{"a status without a body", fault{Status: 304},
			304, map[string]string{"ETag": etag}, nil},
		{"another body", fault{Body: []byte("junk")},
			200, map[string]string{"Content-Type": contentType, "Content-Length": "4", "ETag": ""}, []byte("junk")},
		{"an empty body", fault{Body: []byte{}},
			200, map[string]string{"Content-Length": "0", "ETag": ""}, nil},
		{"a body with an ETag", fault{Body: []byte("junk"), Header: http.Header{"ETag": {`W/"1"`}}},
			200, map[string]string{"Etag": `W/"1"`}, []byte("junk")},
		{"header added", fault{Header: http.Header{"Cache-Control": {"max-age=5"}, "Expires": {"0"}}},
			200, map[string]string{"Cache-Control": "max-age=5", "Expires": "0", "Content-Type": contentType, "ETag": etag}, keys},
		{"header replaced", fault{Header: http.Header{"content-type": {"text/html"}}},
			200, map[string]string{"Content-Type": "text/html"}, keys},
		{"header removed", fault{Header: http.Header{"content-type": nil, "ETag": nil, "Date": nil}},
			200, map[string]string{"Content-Type": "", "ETag": "", "Date": ""}, keys},
		{"a redirect", fault{Status: 302, Header: http.Header{"Location": {"/elsewhere"}}, Body: []byte{}},
			302, map[string]string{"Location": "/elsewhere"}, nil},
		{"a status that nobody knows", fault{Status: 799}, 799, nil, keys},
		{"slow and wrong", fault{Latency: time.Millisecond, Trickle: time.Millisecond, Status: 418, Body: []byte("tea")},
			418, nil, []byte("tea")},
		{"slow without a body", fault{Trickle: time.Hour, Status: 304}, 304, nil, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			as.Break(jwksPath, c.fault)
			defer as.Mend(jwksPath)
			res, body := exchange(t, as, http.MethodGet, nil)
			if res.StatusCode != c.status {
				t.Errorf("got status %d; want %d", res.StatusCode, c.status)
			}
			for name, want := range c.header {
				if got := res.Header.Get(name); got != want {
					t.Errorf("got %s %q; want %q", name, got, want)
				}
			}
			if !bytes.Equal(body, c.body) {
				t.Errorf("got body %q; want %q", body, c.body)
			}
			await(t, "the request is over", func() bool { return as.Serving(jwksPath) == 0 })
		})
	}
}

func TestAnswersWithoutABodyAreNotHeldUpByOne(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for name, c := range map[string]struct {
		fault  fault
		method string
		want   int
	}{
		"HEAD":         {fault{}, http.MethodHead, 200},
		"no content":   {fault{Status: 204}, http.MethodGet, 204},
		"not modified": {fault{Status: 304}, http.MethodGet, 304},
	} {
		c.fault.Trickle, c.fault.Body = time.Hour, []byte("junk")
		as.Break(jwksPath, c.fault)
		if res, body := exchange(t, as, c.method, nil); res.StatusCode != c.want || len(body) != 0 {
			t.Errorf("%s: got %d, %q; want %d without a body", name, res.StatusCode, body, c.want)
		}
		await(t, "the request is over: "+name, func() bool { return as.Serving(jwksPath) == 0 })
	}
}

func TestTheGenuineContentLengthGoesWithItsBody(t *testing.T) {
	as := accesstokentest.NewServer(t)
	as.Handle(jwksPath, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "7")
		_, _ = io.WriteString(w, "genuine")
	}))
	for name, f := range map[string]fault{"genuine": {}, "something longer": {Body: []byte("something longer")}} {
		as.Break(jwksPath, f)
		if res, body := exchange(t, as, http.MethodGet, nil); string(body) != name || res.ContentLength != int64(len(name)) {
			t.Errorf("got %q of length %d; want %q", body, res.ContentLength, name)
		}
	}
}

func TestBreakAndMend(t *testing.T) {
	as := accesstokentest.NewServer(t)
	wantStatus := func(when, path string, want int) {
		t.Helper()
		if got, _, _ := get(t, as, path); got != want {
			t.Errorf("%s: got status %d at %s; want %d", when, got, path, want)
		}
	}
	as.Break(jwksPath, fault{Status: 503})
	wantStatus("broken", jwksPath, 503)
	wantStatus("another one broken", metadataPath, 200)
	as.Break(jwksPath, fault{Status: 500})
	wantStatus("broken twice", jwksPath, 500)
	as.Handle(jwksPath, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201) }))
	wantStatus("broken and replaced", jwksPath, 500)
	as.Mend(jwksPath)
	wantStatus("replaced", jwksPath, 201)
	as.Handle(jwksPath, nil)
	wantStatus("well", jwksPath, 200)
	as.Mend(jwksPath)
	wantStatus("mended twice", jwksPath, 200)
	as.Break("/nowhere", fault{Header: http.Header{"Retry-After": {"1"}}})
	wantStatus("broken where nothing is", "/nowhere", 404)
	if got := as.Requests(jwksPath); got != 6 {
		t.Errorf("got %d requests; want 6, with those that met a fault", got)
	}
}

func TestBreakKeepsACopy(t *testing.T) {
	as := accesstokentest.NewServer(t)
	f := fault{Body: []byte("junk"), Header: http.Header{"Retry-After": {"1"}}}
	as.Break(jwksPath, f)
	f.Body[0] = 'J'
	f.Header.Set("Retry-After", "2")
	res, body := exchange(t, as, http.MethodGet, nil)
	if string(body) != "junk" || res.Header.Get("Retry-After") != "1" {
		t.Errorf("got %q, Retry-After %q; want what Break was given", body, res.Header.Get("Retry-After"))
	}
}

func TestTheGenuineAnswerIsMadeForEachRequest(t *testing.T) {
	as := accesstokentest.NewServer(t)
	as.Break(jwksPath, fault{Header: http.Header{"Cache-Control": {"max-age=5"}}})
	_, before := exchange(t, as, http.MethodGet, nil)
	as.Rotate()
	if _, after := exchange(t, as, http.MethodGet, nil); len(after) <= len(before) {
		t.Errorf("got %d bytes after a rotation and %d before; want more", len(after), len(before))
	}

	const latency = 30 * time.Millisecond
	var asked time.Duration
	var start time.Time
	as.Break("/echo", fault{Latency: latency})
	as.Handle("/echo", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = time.Since(start)
		_, _ = io.Copy(w, r.Body)
	}))
	start = time.Now()
	long := strings.Repeat("long ", 1<<19)
	res, err := as.Client().Post(as.URL+"/echo", "text/plain", strings.NewReader(long))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); string(body) != long {
		t.Errorf("the handler behind a fault: got %d bytes of the request, %v; want %d", len(body), err, len(long))
	}
	if asked < latency {
		t.Errorf("the handler was asked after %v; want the latency of %v first", asked, latency)
	}
}

func TestIntrospectionCanBeBroken(t *testing.T) {
	as := accesstokentest.NewServer(t)
	as.Break(accesstokentest.IntrospectionPath, fault{Latency: time.Millisecond, Trickle: time.Microsecond})
	if answer := introspect(t, as, as.Opaque(nil)); answer["active"] != true {
		t.Errorf("got %v; want active true", answer)
	}
}

func TestLatencyAndTrickleTakeTheirTime(t *testing.T) {
	as := accesstokentest.NewServer(t)
	const pause = 20 * time.Millisecond
	for name, f := range map[string]fault{
		"latency": {Latency: 3 * pause, Body: []byte("abc")},
		"trickle": {Trickle: pause, Body: []byte("abc")},
	} {
		as.Break(jwksPath, f)
		start := time.Now()
		if _, body := exchange(t, as, http.MethodGet, nil); string(body) != "abc" {
			t.Errorf("%s: got %q; want abc", name, body)
		}
		if got := time.Since(start); got < 3*pause {
			t.Errorf("%s: the answer took %v; want at least %v", name, got, 3*pause)
		}
	}
}

// The whole body would take longer than patience.
func TestTrickleSendsEachByteAtOnce(t *testing.T) {
	as := accesstokentest.NewServer(t)
	as.Break(jwksPath, fault{Trickle: 20 * time.Millisecond, Body: bytes.Repeat([]byte("x"), 1000)})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	res, err := request(ctx, as, http.MethodGet, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.ReadFull(res.Body, make([]byte, 2)); err != nil {
		t.Errorf("two bytes: got %v; want them before the others", err)
	}
}

func TestTrickleSendsTheHeaderFirst(t *testing.T) {
	as := accesstokentest.NewServer(t)
	as.Break(jwksPath, fault{Trickle: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	res, err := request(ctx, as, http.MethodGet, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.Header.Get("Content-Type"); got != "application/jwk-set+json" {
		t.Errorf("got content type %q; want that of the key set", got)
	}
}

// waits are the faults that make a client wait until its own timeout.
var waits = map[string]fault{
	"hang":              {Hang: true, Reset: true, Status: 503},
	"latency":           {Latency: time.Hour},
	"latency and reset": {Latency: time.Hour, Reset: true},
	"trickle":           {Trickle: time.Hour},
	"trickle and drop":  {Trickle: time.Hour, Drop: true},
}

func TestWaitsEndWithTheRequest(t *testing.T) {
	as := accesstokentest.NewServer(t)
	path := accesstokentest.IntrospectionPath
	for name, f := range waits {
		t.Run(name, func(t *testing.T) {
			as.Break(path, f)
			ctx, cancel := context.WithCancel(t.Context())
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, as.IntrospectionEndpoint(), strings.NewReader("token=x"))
			if err != nil {
				t.Fatal(err)
			}
			var client sync.WaitGroup
			client.Go(func() {
				res, err := as.Client().Do(r)
				if err == nil {
					_, err = io.ReadAll(res.Body)
					res.Body.Close()
				}
				if !errors.Is(err, context.Canceled) {
					t.Errorf("the client got %v; want that it gave up", err)
				}
			})
			await(t, "the request is being served", func() bool { return as.Serving(path) == 1 })
			cancel()
			client.Wait()
			await(t, "the request is over", func() bool { return as.Serving(path) == 0 })
		})
	}
}

func TestCloseEndsEveryWait(t *testing.T) {
	for name, f := range waits {
		t.Run(name, func(t *testing.T) {
			as, err := accesstokentest.Start()
			if err != nil {
				t.Fatal(err)
			}
			as.Break(jwksPath, f)
			var client sync.WaitGroup
			client.Go(func() {
				res, err := request(t.Context(), as, http.MethodGet, nil)
				if err == nil {
					_, err = io.ReadAll(res.Body)
					res.Body.Close()
				}
				if err == nil {
					t.Error("the client got a whole answer; want an error")
				}
			})
			await(t, "the request is being served", func() bool { return as.Serving(jwksPath) == 1 })
			closes(t, as)
			client.Wait()
		})
	}
}

func closes(t *testing.T, as *accesstokentest.Server) {
	t.Helper()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		as.Close()
	}()
	select {
	case <-closed:
	case <-time.After(patience):
		t.Fatal("Close hangs")
	}
}

func TestCloseDoesNotWaitForAClientThatDoesNotRead(t *testing.T) {
	as, err := accesstokentest.Start()
	if err != nil {
		t.Fatal(err)
	}
	as.Break(jwksPath, fault{Body: make([]byte, 64<<20)})
	res, err := request(t.Context(), as, http.MethodGet, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	closes(t, as)
}

// slowBody never ends.
type slowBody struct{ end <-chan struct{} }

func (b slowBody) Read([]byte) (int, error) {
	<-b.end
	return 0, io.EOF
}

func TestCloseDoesNotWaitForAClientThatDoesNotWrite(t *testing.T) {
	as, err := accesstokentest.Start()
	if err != nil {
		t.Fatal(err)
	}
	path := accesstokentest.IntrospectionPath
	as.Break(path, fault{Hang: true})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, as.IntrospectionEndpoint(), slowBody{ctx.Done()})
	if err != nil {
		t.Fatal(err)
	}
	var client sync.WaitGroup
	client.Go(func() {
		if res, err := as.Client().Do(r); err == nil {
			res.Body.Close()
			t.Errorf("the client got %s; want no answer", res.Status)
		}
	})
	await(t, "the request is being served", func() bool { return as.Serving(path) == 1 })
	closes(t, as)
	cancel()
	client.Wait()
}

func TestReset(t *testing.T) {
	as := accesstokentest.NewServer(t)
	as.Break(jwksPath, fault{Reset: true})
	res, err := request(t.Context(), as, http.MethodGet, nil)
	if err == nil {
		res.Body.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v; want a connection that was reset", err)
	}
	if got := as.Requests(jwksPath); got != 1 {
		t.Errorf("got %d requests; want 1", got)
	}
}

func TestDrop(t *testing.T) {
	as := accesstokentest.NewServer(t)
	_, keys := exchange(t, as, http.MethodGet, nil)
	for name, c := range map[string]struct {
		fault fault
		whole string
	}{
		"genuine":   {fault{}, string(keys)},
		"replaced":  {fault{Body: []byte("abcdef")}, "abcdef"},
		"trickling": {fault{Body: []byte("abcdef"), Trickle: time.Millisecond}, "abcdef"},
	} {
		t.Run(name, func(t *testing.T) {
			c.fault.Drop = true
			as.Break(jwksPath, c.fault)
			res, err := request(t.Context(), as, http.MethodGet, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if want := c.whole[:len(c.whole)/2]; string(body) != want || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("got %q, %v; want half of the body, then %v", body, err, io.ErrUnexpectedEOF)
			}
		})
	}
}

func TestKeySetIsCacheable(t *testing.T) {
	as := accesstokentest.NewServer(t)
	genuine, keys := exchange(t, as, http.MethodGet, nil)
	etag := genuine.Header.Get("ETag")
	if len(etag) < 20 || etag[0] != '"' || etag[len(etag)-1] != '"' {
		t.Fatalf("got ETag %s; want a strong one", etag)
	}
	if got := genuine.Header.Values("Cache-Control"); got != nil {
		t.Errorf("got Cache-Control %q; want none", got)
	}
	cases := []struct {
		name        string
		method      string
		ifNoneMatch []string
		want        int
	}{
		{"the tag", "GET", []string{etag}, 304},
		{"the tag made weak", "GET", []string{"W/" + etag}, 304},
		{"any tag", "GET", []string{"*"}, 304},
		{"a list", "GET", []string{`"a", W/"b" , ` + etag}, 304},
		{"several lines", "GET", []string{`"a"`, etag}, 304},
		{"HEAD", "HEAD", []string{etag}, 304},
		{"POST", "POST", []string{etag}, 200},
		{"other tags", "GET", []string{`"a", "b"`}, 200},
		{"a part of the tag", "GET", []string{etag[:len(etag)-2] + `"`}, 200},
		{"without quotes", "GET", []string{strings.Trim(etag, `"`)}, 200},
		{"an empty line", "GET", []string{""}, 200},
	}
	count := 0
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			res, body := exchange(t, as, c.method, http.Header{"If-None-Match": c.ifNoneMatch})
			if res.StatusCode != c.want {
				t.Errorf("got status %d; want %d", res.StatusCode, c.want)
			}
			if got := res.Header.Get("ETag"); got != etag {
				t.Errorf("got ETag %s; want %s", got, etag)
			}
			if c.want == 304 {
				count++
				if len(body) != 0 || res.Header.Get("Content-Type") != "" {
					t.Errorf("got %d bytes of %q; want none", len(body), res.Header.Get("Content-Type"))
				}
			} else if !bytes.Equal(body, keys) {
				t.Errorf("got body %q; want the keys", body)
			}
			if got := as.NotModified(); got != count {
				t.Errorf("got %d answers without keys; want %d", got, count)
			}
		})
	}
}

func TestETagFollowsTheContent(t *testing.T) {
	as := accesstokentest.NewServer(t)
	etag := func() string {
		res, _ := exchange(t, as, http.MethodGet, nil)
		return res.Header.Get("ETag")
	}
	first := etag()
	if got := etag(); got != first {
		t.Errorf("got ETag %s for what was %s; want the same", got, first)
	}
	seen := map[string]string{first: "at first"}
	for _, change := range []struct {
		name string
		make func()
	}{{"rotated", as.Rotate}, {"withdrawn", as.Withdraw}, {"replaced", as.Replace}} {
		change.make()
		now := etag()
		if when, ok := seen[now]; ok {
			t.Errorf("%s: got the ETag that it had %s; want a new one", change.name, when)
		}
		seen[now] = change.name
		if res, _ := exchange(t, as, http.MethodGet, http.Header{"If-None-Match": {first}}); res.StatusCode != 200 {
			t.Errorf("%s: got status %d for the first ETag; want 200", change.name, res.StatusCode)
		}
	}
}

func TestFaultsAndConditionalRequests(t *testing.T) {
	as := accesstokentest.NewServer(t)
	genuine, _ := exchange(t, as, http.MethodGet, nil)
	fresh := http.Header{"Cache-Control": {"max-age=5"}}
	for name, c := range map[string]struct {
		fault fault
		want  int
	}{
		"header alone": {fault{Header: fresh, Latency: time.Millisecond}, 304},
		"body":         {fault{Header: fresh, Body: []byte(`{"keys":[]}`)}, 200},
		"status":       {fault{Header: fresh, Status: 503}, 503},
	} {
		as.Break(jwksPath, c.fault)
		res, body := exchange(t, as, http.MethodGet, http.Header{"If-None-Match": {genuine.Header.Get("ETag")}})
		if res.StatusCode != c.want || res.Header.Get("Cache-Control") != "max-age=5" {
			t.Errorf("%s: got %d, Cache-Control %q; want %d, max-age=5", name, res.StatusCode, res.Header.Get("Cache-Control"), c.want)
		}
		if got := len(body) == 0; got != (c.want == 304) {
			t.Errorf("%s: got %d bytes with status %d", name, len(body), res.StatusCode)
		}
	}
	if got := as.NotModified(); got != 1 {
		t.Errorf("got %d answers without keys; want 1", got)
	}
}

func TestServingCountsWhatIsNotOver(t *testing.T) {
	as := accesstokentest.NewServer(t)
	as.Break(jwksPath, fault{Hang: true})
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for range 3 {
		clients.Go(func() {
			if res, err := request(ctx, as, http.MethodGet, nil); err == nil {
				res.Body.Close()
			}
		})
	}
	await(t, "three requests are being served", func() bool { return as.Serving(jwksPath) == 3 })
	as.Mend(jwksPath)
	exchange(t, as, http.MethodGet, nil)
	await(t, "the mended one is over", func() bool { return as.Serving(jwksPath) == 3 })
	if got := as.Serving(metadataPath); got != 0 {
		t.Errorf("got %d requests being served elsewhere; want none", got)
	}
	cancel()
	clients.Wait()
	await(t, "none is being served", func() bool { return as.Serving(jwksPath) == 0 })
	if got := as.Requests(jwksPath); got != 4 {
		t.Errorf("got %d requests; want 4", got)
	}
}

func TestHugeKeySet(t *testing.T) {
	const n = 1000
	set := object(t, accesstokentest.HugeKeySet(n))
	kids, points := map[any]bool{}, map[any]bool{}
	for _, k := range set["keys"].([]any) {
		members := k.(map[string]any)
		kids[members["kid"]], points[members["x"]] = true, true
	}
	if len(kids) != n || len(points) != n {
		t.Errorf("got %d key IDs and %d points; want %d", len(kids), len(points), n)
	}
	keys, err := keyfunc.NewJWKSetJSON(accesstokentest.HugeKeySet(n))
	if err != nil {
		t.Fatal(err)
	}
	if all, err := keys.Storage().KeyReadAll(t.Context()); len(all) != n || err != nil {
		t.Errorf("another library got %d keys, %v; want %d", len(all), err, n)
	}
	if got := string(accesstokentest.HugeKeySet(0)); got != `{"keys":[]}` {
		t.Errorf("no keys: got %s; want an empty array", got)
	}
}

func TestBrokenServerIsSafeForConcurrentUse(t *testing.T) {
	as := accesstokentest.NewServer(t)
	var users sync.WaitGroup
	for i := range 4 {
		users.Go(func() {
			for range 10 {
				as.Break(jwksPath, fault{Body: fmt.Append(nil, i), Trickle: time.Microsecond})
				get(t, as, jwksPath)
				as.Mend(jwksPath)
				as.Serving(jwksPath)
				as.NotModified()
			}
		})
	}
	users.Go(as.Replace)
	users.Go(as.Rotate)
	users.Wait()
}

func BenchmarkHugeKeySet(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		accesstokentest.HugeKeySet(10_000)
	}
}
