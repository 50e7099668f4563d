package conformance

import (
	"context"
	"crypto"
	"errors"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/accesstoken/accesstoken"
)

// A row is one row of the outcome matrix.
type row struct {
	Row       string             `json:"row"`
	Cause     string             `json:"cause"`
	Walk      string             `json:"walk"` // how the row is reached: one of walks
	Reason    accesstoken.Reason `json:"reason"`
	Wire      string             `json:"wire"` // the ErrorInfo reason; "" for no ErrorInfo
	Status    int                `json:"status"`
	Error     string             `json:"error"` // of the challenge
	Challenge bool               `json:"challenge"`
	Code      string             `json:"code"` // as google.golang.org/grpc/codes prints it
}

func (r row) expectation() expectation {
	return expectation{outcome: outcome{r.Status, r.Code, r.Error, r.Challenge}, reason: r.Reason, wire: r.Wire}
}

// A walk describes a request whose outcome is a row of the matrix.
type walk struct {
	says    func(t *testing.T, w *world, s *scene, r row) error // makes the error that the handlers return; nil: they accept every request
	vector  vector                                              // the request and its resource server
	scene   func(t *testing.T, w *world, s *scene)              // changes the validator
	rpc     string                                              // a method without a rule
	only    string                                              // the name of the only transport
	told    accesstoken.Reason                                  // the reason that OnRefuse gets, if not the row's
	unheard bool                                                // OnRefuse is not called for the response
}

var walks = map[string]walk{
	"error": {says: func(_ *testing.T, _ *world, _ *scene, r row) error { return &accesstoken.Error{Reason: r.Reason} }},
	"deny": {says: func(_ *testing.T, _ *world, _ *scene, r row) error {
		return accesstoken.Deny(r.Reason, errors.New("no"))
	}},
	"in the stream":              {says: func(_ *testing.T, _ *world, _ *scene, r row) error { return &accesstoken.Error{Reason: r.Reason} }, only: "gRPC stream"},
	"deadline":                   {says: contextError(context.DeadlineExceeded), unheard: true},
	"canceled":                   {says: contextError(context.Canceled), unheard: true},
	"any error":                  {says: anyError, unheard: true},
	"hook panics":                {scene: panickingHook, told: accesstoken.CredentialsMissing},
	"keys panic":                 {scene: panickingKeys},
	"bound to a key, as Bearer":  {vector: vector{Config: offered, Token: boundTo("jkt"), Proof: &recipe{}, Lines: []string{"Bearer ${token}"}}},
	"not bound, as DPoP":         {vector: vector{Config: offered, Proof: &recipe{}}},
	"no proof":                   {vector: vector{Config: offered, Token: boundTo("jkt"), Lines: []string{"DPoP ${token}"}}},
	"a proof by another key":     {vector: vector{Config: offered, Token: boundTo("jkt"), Proof: &recipe{Signer: "thief"}}},
	"a proof again":              {vector: vector{Config: offered, Token: boundTo("jkt"), Proof: &recipe{}, Twice: true}},
	"no nonce":                   {vector: vector{Config: setup{DPoP: &dpopSetup{Nonces: true}}, Token: boundTo("jkt"), Proof: &recipe{}}},
	"no memory of proofs":        {vector: vector{Config: setup{DPoP: &dpopSetup{Store: "down"}}, Token: boundTo("jkt"), Proof: &recipe{}}},
	"another certificate":        {vector: vector{Token: boundTo("x5t"), Certificate: "thief"}},
	"bound to something unknown": {vector: vector{Token: recipe{Claims: members(`{"cnf": {"kid": "${canary}"}}`)}}},
	"details, by the draft": {
		says: func(*testing.T, *world, *scene, row) error {
			return accesstoken.DetailsInsufficient(map[string]string{"type": "payment", "identifier": "i"})
		},
		vector: vector{Config: setup{DraftRAR: true}, Remedy: jsontext.Value(`[{"type": "payment", "identifier": "i"}]`)},
	},
	"no rule": {says: func(_ *testing.T, _ *world, _ *scene, r row) error { return accesstoken.Deny(r.Reason, nil) }, rpc: "Unlisted"},
}

var offered = setup{DPoP: &dpopSetup{}}

// boundTo returns the recipe of a token that is bound to the sender's key ("jkt") or
// certificate ("x5t").
func boundTo(what string) recipe {
	name := map[string]string{"jkt": "jkt", "x5t": "x5t#S256"}[what]
	return recipe{Claims: members(`{"cnf": {"` + name + `": "${` + what + `}"}}`)}
}

// anyError returns the refusal that an unknown error of a hook becomes.
func anyError(_ *testing.T, _ *world, s *scene, _ row) error {
	return s.validator.Refuse(context.Background(), errors.New("a hook does not work"))
}

// contextError makes the validator's error for a caller whose context has ended
// before the keys are fetched.
func contextError(cause error) func(*testing.T, *world, *scene, row) error {
	return func(t *testing.T, w *world, s *scene, _ row) error {
		t.Helper()
		ctx, end := context.WithCancel(t.Context())
		if errors.Is(cause, context.DeadlineExceeded) {
			ctx, end = context.WithDeadline(t.Context(), w.now.AddDate(-1, 0, 0))
		}
		end()
		s.validator = must(accesstoken.NewValidator(accesstoken.Config{
			Resource:   resource,
			Issuers:    []accesstoken.Issuer{{URL: w.as.URL}},
			HTTPClient: w.as.Client(),
		}))
		t.Cleanup(func() { _ = s.validator.Close() })
		_, err := s.validator.Validate(ctx, accesstoken.Bearer(w.token(t, recipe{})))
		if !errors.Is(err, cause) || !errors.Is(err, accesstoken.Unavailable) {
			t.Fatalf("Validate: got %v; want an error that matches %v and Unavailable", err, cause)
		}
		return err
	}
}

func panickingHook(t *testing.T, w *world, s *scene) {
	t.Helper()
	s.open(t, accesstoken.Config{
		Resource:   resource,
		Issuers:    []accesstoken.Issuer{{URL: w.as.URL}},
		HTTPClient: w.as.Client(),
		Logger:     s.logger(),
		OnRefuse: func(ctx context.Context, refused *accesstoken.Error) {
			s.onRefuse(ctx, refused)
			panic("the hook does not work")
		},
	})
}

func panickingKeys(t *testing.T, w *world, s *scene) {
	t.Helper()
	s.open(t, accesstoken.Config{
		Resource: resource,
		Issuers:  []accesstoken.Issuer{{URL: w.as.URL, Keys: noKeys{}}},
		Logger:   s.logger(),
		OnRefuse: s.onRefuse,
	})
}

type noKeys struct{}

func (noKeys) Keys(context.Context, string, string) ([]crypto.PublicKey, uint64, error) {
	panic("the key source does not work")
}

// walkAll walks every wanted row on each transport that the row goes over.
func (w *world) walkAll(t *testing.T, wanted func(walk) bool) {
	t.Helper()
	for _, r := range load[[]row](t, "testdata/matrix.json") {
		way, ok := walks[r.Walk]
		if !ok {
			t.Errorf("%s: the walk %q is unknown", r.Row, r.Walk)
			continue
		}
		if !wanted(way) {
			continue
		}
		t.Run(r.Row+" "+r.Cause, func(t *testing.T) { walkRow(t, w, r, way) })
		if way.scene == nil && !way.unheard {
			way.vector.Config.Metadata = true
			t.Run(r.Row+" "+r.Cause+", with metadata", func(t *testing.T) { walkRow(t, w, r, way) })
		}
	}
}

func walkRow(t *testing.T, w *world, r row, way walk) {
	s := w.play(t, way.vector)
	token := w.token(t, way.vector.Token)
	if way.scene != nil {
		way.scene(t, w, s)
	}
	var says error
	if way.says != nil {
		says = way.says(t, w, s, r)
		s.told() // drop the refusals that were reported when the error was made
	}
	stage := w.set(t, s)
	stage.says = says
	e, asked := r.expectation(), 0
	e.dpop, e.published, e.remedy = way.vector.offer(s), way.vector.Config.Metadata, way.vector.remedy()
	for _, c := range w.transports {
		if !way.goesOver(c) {
			continue
		}
		asked++
		sent := way.vector.request(t, w, token, c)
		sent.rpc = way.rpc
		if way.told == accesstoken.CredentialsMissing {
			sent.lines = nil
		}
		if way.vector.Twice {
			s.letIn(t, stage, c, sent)
		}
		a := ask(t, c, sent)
		e.check(t, a)
		checkCanary(t, a.transport, a.text(), "")
		way.checkTold(t, e, a.transport, s.told())
	}
	if asked == 0 {
		t.Error("the row goes over no transport")
	}
}

// goesOver reports whether the row can be walked on the transport.
func (way walk) goesOver(c transport) bool {
	return (way.only == "" || way.only == c.name) && way.vector.goesOver(c)
}

func (way walk) checkTold(t *testing.T, e expectation, transport string, told []*accesstoken.Error) {
	t.Helper()
	if way.told != "" {
		e.reason, e.outcome = way.told, outcomes["NOCRED"]
	}
	if way.unheard {
		return
	}
	e.checkTold(t, transport, told, "")
}
