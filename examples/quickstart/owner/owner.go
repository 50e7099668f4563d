// Package owner plays the resource owner without a browser: it follows the
// redirects, logs in at the login page and consents at the consent page.
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

// An Owner is a person with a browser of their own.
type Owner struct {
	Login, Password string
	Deny            bool              // say no at the consent page
	Transport       http.RoundTripper // nil means http.DefaultTransport

	// Until, when set, is where the story ends: a URL that begins like this is
	// not opened any more.
	Until string

	// OnRequest, when set, sees every URL that the browser is about to open.
	// It may rewrite it, as somebody in the middle could.
	OnRequest func(*url.URL)
}

// maxPages is more than any flow needs.
const maxPages = 5

// Visit opens a URL and does what a person would until no form is left. It
// returns the URL of the last page and its answer's status.
func (o Owner) Visit(ctx context.Context, target string) (*url.URL, int, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, 0, err
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
				return errors.New("the redirects do not end")
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
	return nil, 0, fmt.Errorf("there was still a form to fill in after %d pages", maxPages)
}

var hidden = regexp.MustCompile(`name="id" value="([^"]+)"`)

// fill answers the login form and the consent form.
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
