package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/scopes"
)

// Each case is explained as the adapters decide it. Explain does not ask the Store of the
// proofs, because that would use a proof up.
func TestExplainDecidesAsTheAdapters(t *testing.T) {
	w := newWorld(HTTP("net/http, explained", protectExplained))
	defer w.close()
	w.playAll(t, func(v vector) bool {
		isOfTheStore := v.Reason == accesstoken.DPoPProofReplayed || v.Reason == accesstoken.ReplayStoreUnavailable
		return !isOfTheStore && v.Only != "grpc" && v.Only != "direct" && v.Only != "cleartext"
	})
}

// protectExplained explains each request, lets net/http's adapter decide, and compares the
// two. If they differ, the response is one that no case expects.
func protectExplained(r *Resource) http.Handler {
	policy := r.Policy
	if r.Optional || r.CORS {
		policy = accesstoken.Policy{Scopes: scopes.None()}
	}
	next := protectNetHTTP(r)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		before := r.count()
		e := r.Validator.Explain(req.Context(), r.Validator.CredentialsOf(req), policy)
		got := &recorded{header: http.Header{}}
		next.ServeHTTP(got, req)
		if fault := compare(e, got, r.count() > before, r.Optional || r.CORS); fault != "" {
			http.Error(w, fault, http.StatusTeapot)
			return
		}
		got.send(w)
	})
}

// count returns how often the handler ran in this case.
func (r *Resource) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.runs)
}

// compare returns how an explanation and the response differ, or "".
func compare(e accesstoken.Explanation, got *recorded, ran, optional bool) string {
	last := ""
	if len(e.Checks) > 0 {
		last = e.Checks[len(e.Checks)-1].Name
	}
	switch passed := got.status < 400 || ran; {
	case e.Err == nil && !passed:
		return fmt.Sprintf("explained: it passes; the response is %d %s", got.status, got.header)
	case e.Err != nil && ran && !(optional && e.Err.Reason == accesstoken.CredentialsMissing):
		return fmt.Sprintf("explained: %v; the handler ran", e.Err)
	case e.Err == nil || passed:
		return ""
	case e.Err.HTTPStatus() != got.status || !slices.Equal(challenges(e.Err.Header()), challenges(got.header)):
		return fmt.Sprintf("explained: %d %s; the response is %d %s", e.Err.HTTPStatus(), challenges(e.Err.Header()), got.status, challenges(got.header))
	case last == "" || e.Checks[len(e.Checks)-1].OK:
		return fmt.Sprintf("explained: %v, but no check failed", e.Err)
	}
	return ""
}

// challenges returns the challenges without a nonce, which changes.
func challenges(h http.Header) []string { return h.Values("WWW-Authenticate") }

// recorded is a response that was not sent yet.
type recorded struct {
	header http.Header
	status int
	body   strings.Builder
}

func (r *recorded) Header() http.Header { return r.header }

func (r *recorded) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorded) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}

func (r *recorded) send(w http.ResponseWriter) {
	for name, lines := range r.header {
		w.Header()[name] = lines
	}
	if r.status != 0 {
		w.WriteHeader(r.status)
	}
	_, _ = w.Write([]byte(r.body.String()))
}
