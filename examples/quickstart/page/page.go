// Package page is the web page of the quickstart, on which you can start the flows,
// see their steps and break them. It is rendered on the server. It uses no script and
// loads nothing from other hosts.
package page

import (
	"context"
	"crypto/rand"
	"embed"
	"html/template"
	"net/http"
	"strings"
	"sync"

	"github.com/accesstoken/accesstoken/examples/quickstart/journal"
)

//go:embed page.html style.css
var files embed.FS

var templates = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"add":    func(a, b int) int { return a + b },
	"decode": journal.Decode,
	"lane":   lane,
	"span":   span,
	"note":   func(parameter string) string { return notes[parameter] },
}).ParseFS(files, "page.html"))

// notes explain the parameters whose names do not explain themselves.
var notes = map[string]string{
	"state":          "binds the response to this browser (RFC 6749 §10.12)",
	"code_challenge": "PKCE: the hash of the code_verifier, which a client must have to redeem the code (RFC 7636)",
	"code_verifier":  "PKCE: the code_challenge must be the hash of this (RFC 7636)",
	"resource":       "the resource server that the token is for (RFC 8707)",
	"iss":            "the issuer of the response; compared before the code is redeemed (RFC 9207)",
	"nonce":          "must be in the ID token, to prove that it belongs to this request",
	"redirect_uri":   "must equal the registered one exactly",
	"token":          "opaque to the resource server, so it asks the issuer about it (RFC 7662)",
}

// Config has the content of the page and the actions of its buttons.
type Config struct {
	Starts          map[journal.Kind]string // the URL that starts each flow
	Journal         *journal.Journal
	Trials          []Trial
	Try             func(ctx context.Context, name string) (Trial, error)
	Login, Password string
	Log             func() []string // the newest lines of the resource servers' log
	Keys            func() []string // the IDs and algorithms of the issuer's key set
	Source          string          // the code that configures the validator
	Resource        string
	Issuer          string

	// Played, if set, is called each time a client sends a browser back at the end of a
	// flow, and Tried, if set, after each trial. For example, they can print the results.
	Played func(journal.Snapshot)
	Tried  func(Trial, error)
}

// A Page is an [http.Handler].
type Page struct {
	http.Handler
	config Config

	mu    sync.Mutex
	tried []outcome // newest last
}

type outcome struct {
	id    string
	trial Trial
	err   error
}

func New(c Config) *Page {
	p := &Page{config: c}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.show)
	mux.HandleFunc("GET /done", p.done)
	mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, files, "style.css")
	})
	mux.Handle("POST /break/{name}", http.NewCrossOriginProtection().Handler(http.HandlerFunc(p.tryIt)))
	p.Handler = mux
	return p
}

// A tab shows one of the flows.
type tab struct {
	Kind    journal.Kind
	Title   string
	App     string
	Text    string
	Start   string
	Current bool
	Flow    *journal.Snapshot // the last that this browser has run; nil if it has run none, or the journal has dropped it
}

// A view is the data of the template.
type view struct {
	Config
	Tabs    []tab
	Current tab
	Steps   []journal.Step
	Lit     bool
	Broke   int // if the client gave up, the index of the last step with an exchange; otherwise, or without an exchange, -1
	Log     []string
	Keys    []string
	Trial   *Trial
	Failed  string

	Introspection string // the introspection response about an opaque token
	Files         []string
}

var tabs = []tab{
	{Kind: journal.OAuth, App: "Photo printer", Title: "OAuth 2.0",
		Text: "A photo printer asks to read your drive. Its access token is a JWT, which the drive can check without the issuer."},
	{Kind: journal.OAuthOpaque, App: "Album maker", Title: "OAuth 2.0, opaque token",
		Text: "An album maker asks for the same. Its access token is opaque. Only the issuer can read it, so the drive asks the issuer about it."},
	{Kind: journal.OIDC, App: "Guest book", Title: "OpenID Connect",
		Text: "A guest book wants to know who you are. It gets an ID token, and an access token that it can use."},
}

func cookieName(kind journal.Kind) string { return "quickstart_flow_" + string(kind) }

const refusalCookie = "quickstart_refusal"

func (p *Page) show(w http.ResponseWriter, r *http.Request) {
	v := view{Config: p.config, Log: p.config.Log(), Keys: p.config.Keys()}
	want := journal.Kind(r.FormValue("flow"))
	for i, t := range tabs {
		t.Start = p.config.Starts[t.Kind]
		t.Flow = p.flow(r, t.Kind)
		t.Current = t.Kind == want || want == "" && i == 0
		if t.Current {
			v.Current = t
		}
		v.Tabs = append(v.Tabs, t)
	}
	if v.Current.Kind == "" {
		http.NotFound(w, r)
		return
	}
	v.Steps, v.Broke = journal.Steps(v.Current.Kind), -1
	if flow := v.Current.Flow; flow != nil {
		v.Lit, v.Steps = true, flow.Steps
		v.Broke = broke(flow)
		v.Introspection = introspection(flow.Steps)
		for _, a := range flow.Answers {
			if len(a.Files) > 0 {
				v.Files = a.Files
			}
		}
	}
	if cookie, err := r.Cookie(refusalCookie); err == nil {
		v.Trial, v.Failed = p.outcome(cookie.Value)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'")
	templates.Execute(w, v)
}

// flow returns the last flow of this kind that this browser has run. If it has run none,
// or the journal has dropped that flow, flow returns nil.
func (p *Page) flow(r *http.Request, kind journal.Kind) *journal.Snapshot {
	cookie, err := r.Cookie(cookieName(kind))
	if err != nil {
		return nil
	}
	flow, ok := p.config.Journal.ByID(cookie.Value)
	if !ok {
		return nil
	}
	s := flow.Snapshot()
	return &s
}

// broke returns the index of the last step with an exchange, if the client gave up.
// Otherwise, or without an exchange, it returns -1.
func broke(flow *journal.Snapshot) int {
	last := -1
	for i, s := range flow.Steps {
		if flow.Err != nil && len(s.Exchanges) > 0 {
			last = i
		}
	}
	return last
}

func introspection(steps []journal.Step) string {
	for _, s := range steps {
		for _, e := range s.Exchanges {
			if strings.HasSuffix(e.URL, "/oauth/introspect") {
				return e.Body
			}
		}
	}
	return ""
}

// done handles the URL to which a client sends the browser at the end of a flow.
func (p *Page) done(w http.ResponseWriter, r *http.Request) {
	flow, ok := p.config.Journal.ByID(r.FormValue("flow"))
	if !ok {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	s := flow.Snapshot()
	http.SetCookie(w, &http.Cookie{Name: cookieName(s.Kind), Value: s.ID, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	if p.config.Played != nil {
		p.config.Played(s)
	}
	http.Redirect(w, r, "/?flow="+string(s.Kind)+"#flow", http.StatusSeeOther)
}

func (p *Page) tryIt(w http.ResponseWriter, r *http.Request) {
	trial, err := p.config.Try(r.Context(), r.PathValue("name"))
	if p.config.Tried != nil {
		p.config.Tried(trial, err)
	}
	id := p.keep(trial, err)
	http.SetCookie(w, &http.Cookie{Name: refusalCookie, Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, "/?flow="+flowKind(r)+"#refusal", http.StatusSeeOther)
}

// flowKind returns the kind of the tab that was open, from the form, or else OAuth.
func flowKind(r *http.Request) string {
	for _, t := range tabs {
		if string(t.Kind) == r.PostFormValue("flow") {
			return string(t.Kind)
		}
	}
	return string(journal.OAuth)
}

func (p *Page) keep(t Trial, err error) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := outcome{rand.Text(), t, err}
	p.tried = append(p.tried, o)
	if len(p.tried) > 20 {
		p.tried = p.tried[1:]
	}
	return o.id
}

func (p *Page) outcome(id string) (*Trial, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.tried {
		if o.id != id {
			continue
		}
		if o.err != nil {
			return nil, o.err.Error()
		}
		return &o.trial, ""
	}
	return nil, ""
}

// lanes are the columns of the diagram, from the left.
var lanes = []string{journal.ResourceOwner, journal.Client, journal.AuthorizationServer, journal.ResourceServer}

func laneOf(party string) int {
	for i, l := range lanes {
		if l == party {
			return i
		}
	}
	return 0
}

// lane returns the style classes for an arrow's leftmost column and its direction.
func lane(s journal.Step) string {
	from, to := laneOf(s.From), laneOf(s.To)
	if from < to {
		return [...]string{"from1", "from2", "from3", "from4"}[from] + " right"
	}
	return [...]string{"from1", "from2", "from3", "from4"}[to] + " left"
}

// span returns the style class for the number of columns that an arrow touches.
func span(s journal.Step) string {
	n := laneOf(s.To) - laneOf(s.From)
	if n < 0 {
		n = -n
	}
	return [...]string{"span1", "span2", "span3", "span4"}[n]
}
