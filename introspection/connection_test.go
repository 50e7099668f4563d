package introspection

import (
	"net/http/httptrace"
	"testing"
	"testing/synctest"
	"time"
)

// needs is a call that needs a connection from now on, and what reports about it.
func (s *connections) needs(t *testing.T) (*connection, *httptrace.ClientTrace) {
	ctx, c := s.watch(t.Context(), 10*time.Second) // prompt is a second
	trace := httptrace.ContextClientTrace(ctx)
	trace.GetConn("as.example.com:443")
	return c, trace
}

// While another call holds a connection, a call that does not dial within a tenth of its
// time waits for a place in the transport.
func TestWhetherACallWaitedForAConnection(t *testing.T) {
	for _, test := range []struct {
		name  string
		dials []time.Duration // after the call needed the connection
		want  failure
	}{
		{"never dialed", nil, queued},
		{"dialed at once", []time.Duration{0}, unsent},
		{"dialed at the last moment", []time.Duration{time.Second}, unsent},
		{"dialed a moment later", []time.Duration{time.Second + 1}, queued},
		{"dialed at once, and the handshake began later", []time.Duration{0, 3 * time.Second}, unsent},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var all connections
				_, other := all.needs(t)
				other.GotConn(httptrace.GotConnInfo{})
				c, trace := all.needs(t)
				for _, after := range test.dials {
					time.Sleep(after)
					trace.ConnectStart("tcp", "192.0.2.1:443")
				}
				time.Sleep(5 * time.Second)
				if got := c.failure(); got != test.want {
					t.Errorf("got failure %d; want %d", got, test.want)
				}
			})
		})
	}
}

// If no other call holds a connection any more, it matters whether one did after this
// call began to wait.
func TestAConnectionThatAnotherCallGaveBackWasHeldUntilThen(t *testing.T) {
	for _, test := range []struct {
		name string
		held time.Duration // after the call needed a connection
		want failure
	}{
		{"it was given back at the same moment", 0, unsent},
		{"it was given back later", time.Second, queued},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var all connections
				other, reports := all.needs(t)
				reports.GotConn(httptrace.GotConnInfo{})
				time.Sleep(time.Second)
				c, _ := all.needs(t)
				time.Sleep(test.held)
				other.over()
				time.Sleep(5 * time.Second)
				if got := c.failure(); got != test.want {
					t.Errorf("got failure %d; want %d", got, test.want)
				}
			})
		})
	}
}

// The transport may report a connection after its call is over. It is not counted as held,
// because nothing would report its end.
func TestAConnectionOfACallThatIsOverIsNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all connections
		other, reports := all.needs(t)
		other.over()
		reports.GotConn(httptrace.GotConnInfo{})
		time.Sleep(time.Second)
		c, _ := all.needs(t)
		time.Sleep(5 * time.Second)
		if got := c.failure(); got != unsent {
			t.Errorf("got failure %d; want %d, because no call holds a connection", got, unsent)
		}
	})
}
