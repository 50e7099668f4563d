// Package owner simulates the resource owner without a browser. It follows the
// redirects, logs in at the login page and answers at the consent page.
package owner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// An Owner is a simulated user.
type Owner struct {
	Login, Password string
	Code            string            // entered if the login page asks for one; if empty, the field stays empty
	Deny            bool              // if set, deny at the consent page
	Transport       http.RoundTripper // nil means http.DefaultTransport
	Jar             http.CookieJar    // the browser's cookies; nil means that each Visit starts without any

	// Until, if set, ends the visit. A redirect to a URL with this prefix is not
	// followed.
	Until string

	// OnRequest, if set, is called with the URL of every redirect before it is
	// followed. It can rewrite the URL, as an attacker in the middle could.
	OnRequest func(*url.URL)
}

// maxPages is the maximum number of pages in a visit. No flow needs that many.
const maxPages = 5

// Visit opens a URL and submits the login and consent forms until a page has neither.
// It returns the URL and the status of the last page.
func (o Owner) Visit(ctx context.Context, target string) (*url.URL, int, error) {
	jar := o.Jar
	if jar == nil {
		jar, _ = cookiejar.New(nil) // never fails
	}
	browser := &http.Client{
		Jar: jar, Transport: o.Transport, Timeout: 20 * time.Second,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if o.OnRequest != nil {
				o.OnRequest(r.URL)
			}
			if o.Until != "" && strings.HasPrefix(r.URL.String(), o.Until) {
				return http.ErrUseLastResponse
			}
			if len(via) > 10 {
				return errors.New("stopped after 10 redirects")
			}
			return nil
		},
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, 0, err
	}
	for range maxPages {
		resp, err := browser.Do(r)
		if err != nil {
			return nil, 0, err
		}
		page, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		resp.Body.Close()
		if err != nil {
			return nil, 0, err
		}
		action, form, ok := o.fill(resp.Request.URL, string(page))
		if !ok {
			return resp.Request.URL, resp.StatusCode, nil
		}
		r, err = http.NewRequestWithContext(ctx, http.MethodPost, action, strings.NewReader(form.Encode()))
		if err != nil {
			return nil, 0, err
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return nil, 0, fmt.Errorf("after %d pages there is still a login or consent form", maxPages)
}

var hidden = regexp.MustCompile(`name="id" value="([^"]+)"`)

// fill returns the action and the values for a login or consent form. If the page has
// neither form, ok is false.
func (o Owner) fill(at *url.URL, page string) (action string, form url.Values, ok bool) {
	id := hidden.FindStringSubmatch(page)
	if id == nil {
		return "", nil, false
	}
	form = url.Values{"id": {id[1]}}
	switch {
	case strings.Contains(page, `id="login"`):
		form.Set("username", o.Login)
		form.Set("password", o.Password)
		if strings.Contains(page, `id="code"`) {
			form.Set("code", o.Code)
		}
		return at.ResolveReference(&url.URL{Path: "/login"}).String(), form, true
	case strings.Contains(page, `id="allow"`):
		form.Set("decision", "allow")
		if o.Deny {
			form.Set("decision", "deny")
		}
		return at.ResolveReference(&url.URL{Path: "/consent"}).String(), form, true
	}
	return "", nil, false
}
