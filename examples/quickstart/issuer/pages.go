package issuer

import (
	"embed"
	"html/template"
	"net/http"
	"slices"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// sessionCookie is the name of the login session's cookie. Browsers send cookies to all
// ports of a host, so every party must use different names.
const sessionCookie = "quickstart_login"

//go:embed *.html style.css
var files embed.FS

var templates = template.Must(template.ParseFS(files, "*.html"))

// meaning describes in plain words what each scope allows.
var meaning = map[string]string{
	"openid":      "know who you are",
	"profile":     "see your name",
	"files:read":  "see the files in your drive",
	"files:write": "change and delete the files in your drive",
	"notes:read":  "read your notes",
	"notes:write": "write and delete your notes",
}

type view struct {
	ID       string
	Client   string
	Scopes   []scopeView
	Resource string
	User     User
	Wrong    bool
	OpenID   bool
	AsksCode bool // the client wishes for ACRCode
}

type scopeView struct{ Name, Meaning string }

func (s *Server) view(a *authRequest) view {
	v := view{
		ID: a.id, Client: s.storage.clients[a.GetClientID()].Name, Resource: a.resource, User: s.config.User,
		OpenID:   slices.Contains(a.GetScopes(), oidc.ScopeOpenID),
		AsksCode: s.config.User.Code != "" && slices.Contains(a.request.ACRValues, ACRCode),
	}
	for _, scope := range a.GetScopes() {
		v.Scopes = append(v.Scopes, scopeView{scope, meaning[scope]})
	}
	return v
}

// pending returns the authorization request of a page. If the request is unknown, it
// answers 404.
func (s *Server) pending(w http.ResponseWriter, r *http.Request) (*authRequest, bool) {
	a, ok := s.storage.request(r.FormValue("id"))
	if !ok {
		s.show(w, http.StatusNotFound, "gone.html", nil)
		return nil, false
	}
	notesFrom(r.Context()).state = a.request.State
	return a, true
}

// session returns the login session of the browser, if it is enough for the request.
func (s *Server) session(r *http.Request, a *authRequest) (l login, ok bool) {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return login{}, false
	}
	l, ok = s.storage.loggedIn(cookie.Value)
	return l, ok && a.isMetBy(l)
}

func (s *Server) loginPage(w http.ResponseWriter, r *http.Request) {
	a, ok := s.pending(w, r)
	if !ok {
		return
	}
	if _, ok := s.session(r, a); ok {
		http.Redirect(w, r, "/consent?id="+a.id, http.StatusSeeOther)
		return
	}
	s.show(w, http.StatusOK, "login.html", s.view(a))
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	a, ok := s.pending(w, r)
	if !ok {
		return
	}
	session, ok := s.storage.login(r.PostFormValue("username"), r.PostFormValue("password"), r.PostFormValue("code"))
	if !ok {
		v := s.view(a)
		v.Wrong = true
		s.show(w, http.StatusUnauthorized, "login.html", v)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: session, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, "/consent?id="+a.id, http.StatusSeeOther)
}

func (s *Server) consentPage(w http.ResponseWriter, r *http.Request) {
	a, ok := s.pending(w, r)
	if !ok {
		return
	}
	if _, ok := s.session(r, a); !ok {
		http.Redirect(w, r, "/login?id="+a.id, http.StatusSeeOther)
		return
	}
	s.show(w, http.StatusOK, "consent.html", s.view(a))
}

func (s *Server) consent(w http.ResponseWriter, r *http.Request) {
	a, ok := s.pending(w, r)
	if !ok {
		return
	}
	l, ok := s.session(r, a)
	if !ok {
		http.Redirect(w, r, "/login?id="+a.id, http.StatusSeeOther)
		return
	}
	if r.PostFormValue("decision") != "allow" {
		denied := oidc.ErrAccessDenied().WithDescription("the resource owner denied the request")
		op.AuthRequestError(w, r, a, denied, s.provider)
		return
	}
	s.storage.allow(a, s.config.User.Subject, l)
	http.Redirect(w, r, "/authorize/callback?id="+a.id, http.StatusSeeOther)
}

func (s *Server) style(w http.ResponseWriter, r *http.Request) {
	http.ServeFileFS(w, r, files, "style.css")
}

func (s *Server) show(w http.ResponseWriter, status int, page string, v any) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "same-origin")
	// If an attacker could frame the consent page, a user could click Allow without
	// seeing it (clickjacking, RFC 9700 §4.16).
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'")
	w.WriteHeader(status)
	templates.ExecuteTemplate(w, page, v)
}
