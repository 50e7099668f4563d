//go:build browser

package browser

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

var (
	oauthSteps = []string{"requests authorization", "gives authorization", "passes authorization grant", "returns access token", "uses access token to access"}
	oidcSteps  = []string{"requests ID token", "returns ID token", "optionally uses access token to access"}
	files      = []string{"beach.jpg", "birthday.jpg", "sunset.jpg"}
)

func TestQuickstart(t *testing.T) {
	program := build(t)
	ctx, cancel := context.WithTimeout(context.Background(), overall)
	t.Cleanup(cancel)
	home := startQuickstart(t, ctx, program)
	browser := startChromium(t, ctx)
	for _, story := range []struct {
		name string
		play func(*visitor)
	}{
		{"flows", playEveryFlow},
		{"refusals", breakEverything},
		{"password", mistypeThePassword},
		{"deny", denyOnAPhone},
		{"keyboard", useTheKeyboardOnly},
	} {
		t.Run(story.name, func(t *testing.T) { story.play(newVisitor(t, browser, home)) })
	}
}

// playEveryFlow logs in once, and consents each time.
func playEveryFlow(v *visitor) {
	v.open(v.home, 200)
	v.arrows(".arrows .label", oauthSteps...)
	v.arrows(".arrows .done .label")
	v.look("start", "html", looks)

	v.follow("start", 200, chromedp.Click(chromedp.CSS("#start-oauth")))
	v.expect("main strong", "Photo printer")
	v.look("login", "html", looks)
	v.logIn(200)
	v.consents("Photo printer", "files:read")
	v.look("consent", "html", looks)
	v.follow("allow", 200, chromedp.Click(chromedp.CSS("#allow")))
	v.seesTheDrive(oauthSteps)
	v.expect("#flow h3", "The validator’s decision on each transport", "What the Photo printer saw",
		"The access token, for the drive", "The requests and responses")
	v.look("oauth", "html", looks)
	v.do("an arrow", chromedp.Click(chromedp.CSS(".arrows li:nth-child(3) a")), chromedp.WaitVisible(chromedp.CSS(".steps details:nth-child(3)[open] .wire")))
	v.do("close it again", chromedp.Click(chromedp.CSS(".steps details:nth-child(3) summary")))
	v.opensEveryStep()
	v.look("oauth-steps", "html", light)

	v.follow("start", 200, chromedp.Click(chromedp.CSS("#start-oauth-opaque")))
	v.consents("Album maker", "files:read")
	v.follow("allow", 200, chromedp.Click(chromedp.CSS("#allow")))
	v.seesTheDrive(oauthSteps)
	if got := strings.Join(v.texts("#flow pre"), "\n"); !strings.Contains(got, `"active": true`) {
		v.t.Errorf("the introspection answer is not on the page: %s", got)
	}
	v.look("opaque", "html", light)

	v.follow("start", 200, chromedp.Click(chromedp.CSS("#start-oidc")))
	v.consents("Guest book", "openid", "profile", "files:read")
	v.look("consent-oidc", "html", light)
	v.follow("allow", 200, chromedp.Click(chromedp.CSS("#allow")))
	v.seesTheDrive(oidcSteps)
	v.expect("#flow h3", "The validator’s decision on each transport", "What the Guest book saw",
		"The ID token, only for the client", "The UserInfo response, with the same sub", "The access token, for the drive", "The requests and responses")
	v.look("oidc", "html", light)
	v.opensEveryStep()
	v.look("oidc-steps", "html", light)

	// If the user goes back, the request was already answered.
	v.excuse("status of 404")
	v.do("back", chromedp.NavigateBack(), chromedp.WaitVisible(chromedp.CSS("h1")))
	v.expect("h1", "There is no such authorization request.")
	v.look("gone", "html", light)

	// The page remembers the other flows.
	v.open(v.home+"/?flow=oauth", 200)
	v.seesTheDrive(oauthSteps)
}

const invalidToken = `error="invalid_token", error_description="the access token is invalid"`

// challenge returns a challenge of the drive or the calendar, as texts returns it.
func challenge(params string) string {
	return `Bearer realm="http://127.0.0.1/files", ` + params + `, resource_metadata="http://127.0.0.1/.well-known/oauth-protected-resource/files"`
}

// passes are the answers over each transport if a token is valid.
var passes = []string{"net/http 200 OK", "Echo 200 OK", "gRPC OK"}

// refusals are the expected results of the trials.
var refusals = []struct {
	name      string
	status    string   // over net/http and Echo
	challenge string   // the same on every transport; without the realm and the metadata
	retry     []string // over net/http and Echo, and over gRPC
	code      string   // over gRPC
	reason    string   // ErrorInfo
	fine      string   // the reason that the operator sees, if it differs
	beside    [][]string
}{
	{
		name: "missing", status: "401 Unauthorized", code: "UNAUTHENTICATED", reason: "CREDENTIALS_MISSING",
		challenge: `scope="files:read"`,
	},
	{
		name: "expired", status: "401 Unauthorized", code: "UNAUTHENTICATED", reason: "TOKEN_EXPIRED",
		challenge: `error="invalid_token", error_description="the access token expired"`,
	},
	{
		name: "scope", status: "403 Forbidden", code: "PERMISSION_DENIED", reason: "SCOPE_INSUFFICIENT",
		challenge: `error="insufficient_scope", error_description="the access token lacks a required scope", scope="files:write"`,
		beside:    [][]string{passes},
	},
	{
		name: "idtoken", status: "401 Unauthorized", code: "UNAUTHENTICATED", reason: "TOKEN_INVALID", fine: "TOKEN_TYPE_MISMATCH",
		challenge: invalidToken,
	},
	{
		name: "audience", status: "401 Unauthorized", code: "UNAUTHENTICATED", reason: "TOKEN_INVALID", fine: "AUDIENCE_MISMATCH",
		challenge: invalidToken, beside: [][]string{passes},
	},
	{
		name: "signature", status: "401 Unauthorized", code: "UNAUTHENTICATED", reason: "TOKEN_INVALID", fine: "SIGNATURE_INVALID",
		challenge: invalidToken,
	},
	{
		name: "none", status: "401 Unauthorized", code: "UNAUTHENTICATED", reason: "TOKEN_INVALID", fine: "ALGORITHM_NOT_ALLOWED",
		challenge: invalidToken,
	},
	{
		name: "rotated", status: "401 Unauthorized", code: "UNAUTHENTICATED", reason: "TOKEN_INVALID", fine: "KEY_NOT_FOUND",
		challenge: invalidToken, beside: [][]string{passes, passes},
	},
	{
		name: "down", status: "503 Service Unavailable", code: "UNAVAILABLE", reason: "INTROSPECTION_UNAVAILABLE",
		retry: []string{"5", "5s"}, beside: [][]string{passes, passes},
	},
	{
		name: "revoked", status: "401 Unauthorized", code: "UNAUTHENTICATED", reason: "TOKEN_INACTIVE",
		challenge: `error="invalid_token", error_description="the access token is not active"`,
		beside:    [][]string{passes},
	},
}

// breakEverything clicks each button and reads the refusal, without logging in.
func breakEverything(v *visitor) {
	v.open(v.home, 200)
	if got := len(v.texts(".breaks button")); got != len(refusals) {
		v.t.Errorf("the page has %d ways to break something; want %d", got, len(refusals))
	}
	for _, want := range refusals {
		v.follow(want.name, 200, chromedp.Click(chromedp.CSS("#break-"+want.name)))
		refusal := `#refusal[data-trial="` + want.name + `"][data-status="` + want.status[:3] + `"]`
		if !v.has(refusal) {
			v.t.Errorf("%s: the page lacks %s", want.name, refusal)
			continue
		}
		asks := "WWW-Authenticate\nnone"
		if want.challenge != "" {
			asks = "WWW-Authenticate\n" + challenge(want.challenge)
		}
		overHTTP := []string{want.status, asks}
		overGRPC := []string{want.code, "ErrorInfo reason\n" + want.reason, asks}
		if want.retry != nil {
			overHTTP = append(overHTTP, "Retry-After\n"+want.retry[0])
			overGRPC = append(overGRPC, "RetryInfo\n"+want.retry[1])
		}
		for i, lines := range [][]string{overHTTP, overHTTP, overGRPC} {
			carrier := []string{"net/http", "Echo", "gRPC"}[i]
			item := refusal + " > .verdicts > li:nth-child(" + strconv.Itoa(i+1) + ") "
			v.expect(item+".carrier", carrier)
			v.expect(item+":is(.status, dl > div)", lines...)
		}
		if want.fine != "" {
			v.expect(refusal+" .fine code", want.fine)
		} else {
			v.expect(refusal + " .fine code")
		}
		v.expect(refusal+" .beside span.pass", slices.Concat(want.beside...)...)
		v.expect(refusal + " .alert")
		if !v.visible("#refusal h3") {
			v.t.Errorf("%s: the refusal has to be looked for", want.name)
		}
		v.do("the details of "+want.name, chromedp.Click(chromedp.CSS("#refusal summary")))
		v.look("break-"+want.name, "#break", light)
	}

	// Two rotations in a row are possible, then one every half minute.
	for range 4 {
		v.follow("rotate again", 200, chromedp.Click(chromedp.CSS("#break-rotated")))
		if v.has(`#refusal [role="status"]`) {
			v.look("break-wait", "#break", light)
			return
		}
	}
	v.t.Error("the keys can be rotated as often as one likes")
}

func mistypeThePassword(v *visitor) {
	v.excuse("status of 401")
	v.open(v.home, 200)
	v.follow("start", 200, chromedp.Click(chromedp.CSS("#start-oidc")))
	v.follow("log in", 401, chromedp.SendKeys(chromedp.CSS("#username"), "alice"),
		chromedp.SendKeys(chromedp.CSS("#password"), "looking-glass\r"))
	v.expect(`[role="alert"]`, "The name or the password is wrong.")
	v.look("login-wrong", "html", light)
	v.logIn(200)
	v.consents("Guest book", "openid", "profile", "files:read")
}

func denyOnAPhone(v *visitor) {
	v.see(phone)
	v.open(v.home, 200)
	v.follow("start", 200, chromedp.Tap(chromedp.CSS("#start-oauth")))
	v.follow("log in", 200, chromedp.SendKeys(chromedp.CSS("#username"), "alice"),
		chromedp.SendKeys(chromedp.CSS("#password"), "wonderland"), chromedp.Tap(chromedp.CSS("#login")))
	v.consents("Photo printer", "files:read")
	v.follow("deny", 200, chromedp.Tap(chromedp.CSS("#deny")))
	v.expect(`#flow [role="alert"]`, "The client gave up: the authorization server answered access_denied: the resource owner denied the request.")
	v.expect("#files li")
	v.arrows(".arrows .done:not(.broke) .label", "requests authorization")
	if !v.visible(`#flow [role="alert"]`) {
		v.t.Error("what happened has to be looked for")
	}
	v.look("denied", "html", light)
}

// useTheKeyboardOnly plays a flow and breaks something with Tab and Enter.
func useTheKeyboardOnly(v *visitor) {
	v.open(v.home, 200)
	v.tabTo("a.skip")
	v.tabTo("#start-oauth")
	v.follow("start", 200, chromedp.KeyEvent(kb.Enter))
	v.focused("#username")
	v.do("the name", chromedp.KeyEvent("alice"))
	v.tabTo("#password")
	v.do("the password", chromedp.KeyEvent("wonderland"))
	v.tabTo("#login")
	v.follow("log in", 200, chromedp.KeyEvent(kb.Enter))
	v.consents("Photo printer", "files:read")
	v.tabTo("#allow")
	v.follow("allow", 200, chromedp.KeyEvent(kb.Enter))
	v.seesTheDrive(oauthSteps)
	v.tabTo(".steps summary")
	v.do("open a step", chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible(chromedp.CSS(".steps details[open] .wire")))
	v.tabTo("#break-none")
	v.follow("break", 200, chromedp.KeyEvent(kb.Enter))
	if !v.has(`#refusal[data-trial="none"][data-status="401"]`) {
		v.t.Error("the refusal is not on the page")
	}
}

// expect compares the visible text of every matching element.
func (v *visitor) expect(selector string, want ...string) {
	v.t.Helper()
	if got := v.texts(selector); !slices.Equal(got, want) {
		v.t.Errorf("%s: got %q; want %q", selector, got, want)
	}
}

// arrows reads the labels of the diagram without their numbers.
func (v *visitor) arrows(selector string, want ...string) {
	v.t.Helper()
	got := v.texts(selector)
	for i, label := range got {
		got[i] = strings.TrimSpace(strings.TrimPrefix(label, strconv.Itoa(i+1)))
	}
	if !slices.Equal(got, want) {
		v.t.Errorf("%s: got %q; want %q", selector, got, want)
	}
}

// logIn fills in the login page with the name and password that the page shows.
func (v *visitor) logIn(status int64) {
	v.t.Helper()
	said := v.texts(".hint code")
	if !slices.Equal(said, []string{"alice", "wonderland"}) {
		v.t.Fatalf("the login page says %q; want a name and a password", said)
	}
	v.follow("log in", status, chromedp.SendKeys(chromedp.CSS("#username"), said[0]),
		chromedp.SendKeys(chromedp.CSS("#password"), said[1]), chromedp.Click(chromedp.CSS("#login")))
}

// consents reads the consent page.
func (v *visitor) consents(client string, scopes ...string) {
	v.t.Helper()
	v.expect("h1", "Allow "+client+"?")
	v.expect(".scopes code", scopes...)
	for _, meaning := range v.texts(".scopes span") {
		if meaning == "" {
			v.t.Error("the consent page has a scope that it does not explain")
		}
	}
	if !strings.Contains(strings.Join(v.texts(".hint"), ""), "http://127.0.0.1/files") {
		v.t.Error("the consent page does not name the resource server")
	}
}

// seesTheDrive checks the page after a successful flow.
func (v *visitor) seesTheDrive(steps []string) {
	v.t.Helper()
	v.expect("#files li", files...)
	v.arrows(".arrows .done .label", steps...)
	v.expect(".steps summary b", steps...)
	v.expect("#flow .verdicts .status", "200 OK", "200 OK", "OK")
	v.expect(`[role="alert"]`)
}

// opensEveryStep opens the details of every step.
func (v *visitor) opensEveryStep() {
	v.t.Helper()
	for i := range v.texts(".steps details") {
		item := ".steps details:nth-child(" + strconv.Itoa(i+1) + ")"
		v.do("open a step", chromedp.Click(chromedp.CSS(item+" summary")), chromedp.WaitVisible(chromedp.CSS(item+"[open] .wire")))
	}
}

// visible reports whether an element appears on the screen without
// scrolling, within sixty frames.
func (v *visitor) visible(selector string) bool {
	v.t.Helper()
	return read(v, selector, chromedp.Evaluate[bool](`new Promise(done => {
		const look = frames => {
			const box = document.querySelector(`+quote(selector)+`).getBoundingClientRect();
			const seen = box.top >= 0 && box.bottom <= innerHeight;
			seen || frames === 0 ? done(seen) : requestAnimationFrame(() => look(frames - 1));
		};
		look(60);
	})`, chromedp.EvalAwaitPromise))
}

// tabTo presses Tab until an element has the focus, and shows it.
func (v *visitor) tabTo(selector string) {
	v.t.Helper()
	for range 40 {
		v.do("Tab", chromedp.KeyEvent(kb.Tab))
		if read(v, selector, chromedp.Evaluate[bool](`document.activeElement.matches(`+quote(selector)+`)`)) {
			v.focused(selector)
			return
		}
	}
	v.t.Fatalf("Tab does not lead to %s", selector)
}

// focused waits until an element has the focus and checks that the focus is visible.
func (v *visitor) focused(selector string) {
	v.t.Helper()
	v.do("the focus on "+selector, chromedp.WaitVisible(chromedp.CSS(selector+":focus")))
	if !read(v, selector, chromedp.Evaluate[bool](`(() => {
		const s = getComputedStyle(document.activeElement);
		return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2;
	})()`)) {
		v.t.Errorf("%s has no focus that one can see", selector)
	}
}
