package middleware_test

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/middleware"
)

// A handler that has hijacked its connection and does not listen is no exception,
// as long as it runs. What it has left behind is nobody's here.
func TestAHijackedConnectionIsTheHandlers(t *testing.T) {
	for name, test := range map[string]struct {
		stays bool
		ends  time.Duration // the connection, which its owner closes after an hour at the latest
	}{
		"the handler stays":   {true, end + time.Second},
		"the handler returns": {false, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := testkit.NewValidator(t, as, testkit.Offline(as))
				client, url := testkit.Pipe(t, "HTTP/1.1", middleware.New(v, nil).EndWithToken().Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					conn, _, err := http.NewResponseController(w).Hijack()
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: silence\r\n\r\n")
					wait := func() {
						defer conn.Close()
						defer time.AfterFunc(time.Hour, func() { _ = conn.Close() }).Stop()
						_, _ = conn.Read(make([]byte, 1)) // nothing comes
					}
					if test.stays {
						wait()
						return
					}
					go wait()
				})))
				r, _ := http.NewRequest(http.MethodGet, url, nil)
				r.Header = http.Header{"Authorization": {tokenOf("")}, "Connection": {"Upgrade"}, "Upgrade": {"silence"}}
				begun := time.Now()
				response, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				_, _ = io.ReadAll(response.Body)
				if took := time.Since(begun); response.StatusCode != 101 || took != test.ends {
					t.Errorf("got %d, and the end after %v; want 101, %v", response.StatusCode, took, test.ends)
				}
			})
		})
	}
}
