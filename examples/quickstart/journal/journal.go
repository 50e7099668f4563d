// Package journal records the requests and responses of each flow, so that you can
// see the real ones in the terminal and on the page.
package journal

import (
	"crypto/rand"
	"sync"
	"time"
)

// A Kind is one of the flows that a user can start.
type Kind string

const (
	OAuth       Kind = "oauth"        // OAuth 2.0, JWT access token
	OAuthOpaque Kind = "oauth-opaque" // OAuth 2.0, opaque access token
	OIDC        Kind = "oidc"         // OpenID Connect
)

// The parties of RFC 6749 §1.1. In OpenID Connect the authorization server is
// the OpenID provider and the client is the relying party.
const (
	ResourceOwner       = "resource owner"
	Client              = "client"
	AuthorizationServer = "authorization server"
	ResourceServer      = "resource server"
)

// The steps of OAuth 2.0 (RFC 6749 §1.2), as indexes into [Flow.Steps].
const (
	RequestsAuthorization = iota
	GivesAuthorization
	PassesAuthorizationGrant
	ReturnsAccessToken
	UsesAccessToken
)

// The steps of OpenID Connect (Core §1.3), as indexes into [Flow.Steps].
const (
	RequestsIDToken = iota
	ReturnsIDToken
	OptionallyUsesAccessToken
)

// A Step is one arrow of the diagram, with the exchanges that belong to it.
type Step struct {
	Name      string
	From, To  string
	Exchanges []Exchange
}

// Fact returns a summary of the step's main exchange. If the step has a call to the
// drive, that is the first such call. Otherwise it is the last exchange if the arrow
// points to the client, or to the resource owner, whom the client asks after it has found
// the authorization server. In other steps it is the first exchange.
func (s Step) Fact() string {
	if len(s.Exchanges) == 0 {
		return ""
	}
	e := s.Exchanges[0]
	if s.To == Client || s.To == ResourceOwner {
		e = s.Exchanges[len(s.Exchanges)-1]
	}
	for _, other := range s.Exchanges {
		if other.Carrier != "" {
			e = other
			break
		}
	}
	return e.Line()
}

// A Flow is the record of one run of OAuth 2.0 or OpenID Connect. Use [Flow.Snapshot]
// to read it. It is safe for concurrent use.
type Flow struct {
	ID      string // identifies the flow in a URL; unguessable
	State   string // the state parameter of RFC 6749 §4.1.1
	Kind    Kind
	Started time.Time

	mu          sync.Mutex
	steps       []Step
	accessToken string
	idToken     string
	answers     []Answer
	userInfo    string
	err         error
	done        bool
}

// A Snapshot is the state of a flow at one moment.
type Snapshot struct {
	ID          string
	Kind        Kind
	Started     time.Time
	Steps       []Step
	AccessToken string
	IDToken     string
	UserInfo    string   // OpenID Connect: the UserInfo response
	Answers     []Answer // the resource servers' answers, one for each transport
	Err         error    // why the client gave up; nil if it did not
	Done        bool
}

// Record adds an exchange to a step.
func (f *Flow) Record(step int, e Exchange) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.steps[step].Exchanges = append(f.steps[step].Exchanges, e)
}

// Tokens sets the tokens that the token endpoint returned.
func (f *Flow) Tokens(accessToken, idToken string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.accessToken, f.idToken = accessToken, idToken
}

// UserInfo sets the response of the UserInfo endpoint.
func (f *Flow) UserInfo(body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.userInfo = body
}

// Answered sets the answers of the resource servers.
func (f *Flow) Answered(answers []Answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers = answers
}

// End marks the flow as done. If the flow failed, err says why; otherwise it is nil.
func (f *Flow) End(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done, f.err = true, err
}

// Snapshot returns a copy of the flow. Later changes of the flow do not affect it.
func (f *Flow) Snapshot() Snapshot {
	f.mu.Lock()
	defer f.mu.Unlock()
	steps := make([]Step, len(f.steps))
	for i, s := range f.steps {
		s.Exchanges = append([]Exchange(nil), s.Exchanges...)
		steps[i] = s
	}
	return Snapshot{
		ID: f.ID, Kind: f.Kind, Started: f.Started, Steps: steps,
		AccessToken: f.accessToken, IDToken: f.idToken, UserInfo: f.userInfo,
		Answers: f.answers, Err: f.err, Done: f.done,
	}
}

// Steps returns the steps of a flow in order, without exchanges.
func Steps(kind Kind) []Step {
	if kind == OIDC {
		return []Step{
			RequestsIDToken:           {Name: "requests ID token", From: Client, To: AuthorizationServer},
			ReturnsIDToken:            {Name: "returns ID token", From: AuthorizationServer, To: Client},
			OptionallyUsesAccessToken: {Name: "optionally uses access token to access", From: Client, To: ResourceServer},
		}
	}
	return []Step{
		RequestsAuthorization:    {Name: "requests authorization", From: Client, To: ResourceOwner},
		GivesAuthorization:       {Name: "gives authorization", From: ResourceOwner, To: Client},
		PassesAuthorizationGrant: {Name: "passes authorization grant", From: Client, To: AuthorizationServer},
		ReturnsAccessToken:       {Name: "returns access token", From: AuthorizationServer, To: Client},
		UsesAccessToken:          {Name: "uses access token to access", From: Client, To: ResourceServer},
	}
}

// keep is the maximum number of flows in a journal.
const keep = 64

// A Journal holds the newest flows. The zero value is ready to use. A Journal is safe
// for concurrent use.
type Journal struct {
	mu    sync.Mutex
	flows []*Flow // oldest first
}

// Begin adds a new flow with a random state (RFC 6749 §10.12). If the journal is full,
// it drops the oldest flow.
func (j *Journal) Begin(kind Kind) *Flow {
	f := &Flow{ID: rand.Text(), State: rand.Text(), Kind: kind, Started: time.Now(), steps: Steps(kind)}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.flows = append(j.flows, f)
	if len(j.flows) > keep {
		j.flows = j.flows[len(j.flows)-keep:]
	}
	return f
}

func (j *Journal) ByID(id string) (*Flow, bool) {
	return j.find(func(f *Flow) bool { return f.ID == id })
}

func (j *Journal) ByState(state string) (*Flow, bool) {
	return j.find(func(f *Flow) bool { return f.State == state })
}

func (j *Journal) find(is func(*Flow) bool) (*Flow, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, f := range j.flows {
		if is(f) {
			return f, true
		}
	}
	return nil, false
}
