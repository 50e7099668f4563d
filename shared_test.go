package accesstoken

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/accesstoken/accesstoken/internal/jose"
)

func TestEqualTextsShareTheirMemory(t *testing.T) {
	s := newShared()
	first, own := s.text(strings.Clone("orders:read orders:write"))
	if first != "orders:read orders:write" || own != len(first) {
		t.Errorf("the first: got %q, %d; want it, and its length", first, own)
	}
	again, own := s.text(strings.Clone(first))
	if again != first || own != 0 || unsafe.StringData(again) != unsafe.StringData(first) {
		t.Errorf("the second: got %q, %d; want the first one's memory", again, own)
	}
	list, own := s.list([]string{"a", "bc"})
	if fmt.Sprint(list) != "[a bc]" || own != 2*16+3 {
		t.Errorf("the first list: got %q, %d; want it, and its size", list, own)
	}
	same, own := s.list([]string{"a", "bc"})
	if own != 0 || &same[0] != &list[0] {
		t.Errorf("the second list: got %q, %d; want the first one's memory", same, own)
	}
	for _, other := range [][]string{{"ab", "c"}, {"a", "b", "c"}, {"abc"}, {"bc", "a"}, {}} { // some have one hash
		if got, _ := s.list(other); fmt.Sprint(got) != fmt.Sprint(other) || got == nil {
			t.Errorf("got %q; want %q", got, other)
		}
	}
	if got, own := s.list(nil); got != nil || own != 0 {
		t.Errorf("no list: got %q, %d; want nil, 0", got, own)
	}
}

// What is long is not kept for others: a few of them would be much.
func TestLongTextsAreNotShared(t *testing.T) {
	s := newShared()
	long := strings.Repeat("x", longestShared+1)
	for range 2 {
		if got, own := s.text(long); got != long || own != len(long) || unsafe.StringData(got) == unsafe.StringData(long) {
			t.Errorf("got %d bytes, %d of them its own; want a copy", len(got), own)
		}
		if got, own := s.list([]string{long}); got[0] != long || own != 16+len(long) {
			t.Errorf("a list: got %d bytes, %d of them its own; want a copy", len(got[0]), own)
		}
	}
}

func TestSharingFromManyGoroutines(t *testing.T) {
	s := newShared()
	var wait sync.WaitGroup
	for worker := range 8 {
		wait.Go(func() {
			for n := range 2_000 { // more than there are places
				text := fmt.Sprint((n + worker) % 1_500)
				if got, _ := s.text(text); got != text {
					t.Errorf("got %q; want %q", got, text)
				}
				if got, _ := s.list([]string{text, "x"}); got[0] != text || got[1] != "x" {
					t.Errorf("got %q; want %q and x", got, text)
				}
			}
		})
	}
	wait.Wait()
}

// Nothing is shared but what somebody else has shown to be equal; a token's own
// texts are counted as its own.
func TestFactsCountWhatIsTheirOwn(t *testing.T) {
	s := newShared()
	i := new(issuer)
	i.current.Store(new(settings))
	first, second := newFacts(i, claimsOf("alice"), nil), newFacts(i, claimsOf("bob"), nil)
	a, b := first.compact(s), second.compact(s)
	if shared := len("client") + len("read write") + 2*16 + len("ab"); a-b != shared+len("alice")-len("bob") {
		t.Errorf("got sizes %d and %d; want the second smaller by what they share", a, b)
	}
	if second.subject != "bob" || second.clientID != "client" || second.scope.String() != "read write" || fmt.Sprint(second.audience) != "[a b]" || second.id != "1" {
		t.Errorf("got %+v; want what the token says", second)
	}
}

func claimsOf(subject string) *jose.Claims {
	return &jose.Claims{Subject: subject, ClientID: "client", ID: "1", Audience: []string{"a", "b"}, Scope: jose.Scope{Present: true, Text: "read write"}}
}
