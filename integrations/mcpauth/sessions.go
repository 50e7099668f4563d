package mcpauth

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"sync"

	"github.com/accesstoken/accesstoken"
)

// principal identifies a caller, so that no two callers have the same text. A user is the
// same with every client, because a session may outlive a client's registration.
func principal(claims accesstoken.Claims) string {
	parts := []string{claims.Issuer, claims.Subject}
	if claims.ClientItself() || claims.Subject == "" {
		parts = append(parts, claims.ClientID)
	}
	text, _ := json.Marshal(parts) // strings can be written
	return string(text)
}

var (
	errOtherSession = errors.New("mcpauth: the session belongs to another caller")
	errNoSession    = errors.New("session not found")
)

// sessions are those that the SSE handler of the SDK has open, by the id that the server
// told the client. (Its Streamable HTTP handler compares TokenInfo.UserID itself.)
type sessions struct {
	mu     sync.Mutex
	owners map[string]string // the principal of each session
}

// bind refuses a message for the SSE session of another caller, or for one that this Guard
// has not seen begin, because it cannot know whose that is. For a GET it returns a writer that
// learns the id of the session that the response opens. Call done when the response has ended.
func (s *sessions) bind(w http.ResponseWriter, r *http.Request, claims accesstoken.Claims) (_ http.ResponseWriter, done func(), err error) {
	id := r.URL.Query().Get("sessionid")
	switch {
	case r.Method == http.MethodPost && id != "":
		s.mu.Lock()
		defer s.mu.Unlock()
		owner, ok := s.owners[id]
		switch {
		case !ok:
			return w, func() {}, errNoSession
		case owner != principal(claims):
			return w, func() {}, accesstoken.Deny(accesstoken.PolicyDenied, errOtherSession)
		}
	case r.Method == http.MethodGet:
		l := &learner{ResponseWriter: w, sessions: s, owner: principal(claims)}
		return l, l.end, nil
	}
	return w, func() {}, nil
}

// endpoint is the event with which an SSE session begins.
var endpoint = regexp.MustCompile(`^event: endpoint\ndata: [^\n]*[?&]sessionid=([A-Za-z0-9_-]+)`)

// A learner is the writer of a GET. Only its first bytes can begin an SSE session.
type learner struct {
	http.ResponseWriter
	sessions *sessions
	owner    string
	begun    bool
	id       string // of the SSE session; "" if the response opens no session
}

// Unwrap is for http.ResponseController.
func (l *learner) Unwrap() http.ResponseWriter { return l.ResponseWriter }

func (l *learner) Write(p []byte) (int, error) {
	if !l.begun {
		l.begun = true
		if found := endpoint.FindSubmatch(p); found != nil {
			l.id = string(found[1])
			l.sessions.open(l.id, l.owner)
		}
	}
	return l.ResponseWriter.Write(p)
}

// open remembers who has a session.
func (s *sessions) open(id, owner string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owners == nil {
		s.owners = map[string]string{}
	}
	s.owners[id] = owner
}

// end forgets the session. The SDK has ended it, and writes no more.
func (l *learner) end() {
	l.sessions.mu.Lock()
	defer l.sessions.mu.Unlock()
	delete(l.sessions.owners, l.id)
}
