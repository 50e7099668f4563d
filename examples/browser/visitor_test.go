//go:build browser

package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

const (
	compiling = 5 * time.Minute  // of the quickstart, when nothing is cached
	overall   = 2 * time.Minute  // for everything in the browser
	patience  = 10 * time.Second // for one step
)

type step = chromedp.Action[chromedp.Void]

// build compiles the quickstart.
func build(t *testing.T) (program string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), compiling)
	defer cancel()
	program = filepath.Join(t.TempDir(), "quickstart")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "../quickstart").CombinedOutput(); err != nil {
		t.Fatalf("go build ../quickstart: %v\n%s", err, out)
	}
	return program
}

// startQuickstart runs the program on free loopback ports and ends it with the
// test. It returns the URL that the program tells a person to open.
func startQuickstart(t *testing.T, ctx context.Context, program string) string {
	t.Helper()
	cmd := exec.CommandContext(ctx, program, "-addr", "127.0.0.1:0")
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address := make(chan string, 1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(address)
		open := regexp.MustCompile(`Open\s+(http://\S+)`)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if found := open.FindStringSubmatch(lines.Text()); found != nil {
				address <- found[1]
			}
		}
	}()
	t.Cleanup(func() {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Errorf("the quickstart had ended before it was told to: %v", err)
		}
		<-read
		if err := cmd.Wait(); err != nil {
			t.Errorf("the quickstart did not end well: %v", err)
		}
	})
	select {
	case home, ok := <-address:
		if !ok {
			t.Fatal("the quickstart ended without naming the page to open")
		}
		return home
	case <-time.After(patience):
		t.Fatalf("the quickstart named no page to open within %v", patience)
	}
	return ""
}

// startChromium returns a context of a browser that ends with the test.
func startChromium(t *testing.T, ctx context.Context) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("there is no chromium on this machine; on Debian: apt-get update && apt-get install -y --no-install-recommends chromium")
	}
	ctx, stop := chromedp.NewExecAllocator(ctx,
		chromedp.ExecPath(path),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Headless,
		chromedp.NoSandbox,
		chromedp.NoFirstRun,
		chromedp.NoDefaultBrowserCheck,
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-breakpad", true),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("password-store", "basic"),
		chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
	)
	t.Cleanup(stop) // waits for the process
	ctx, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(closeTab)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("%s did not start: %v", path, err)
	}
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Errorf("chromium did not end well: %v", err)
		}
	})
	return ctx
}

// A visitor is a user with a separate browser, without cookies at first.
type visitor struct {
	t    *testing.T
	ctx  context.Context
	home string // the quickstart's page

	mu       sync.Mutex
	faults   []string // console messages, and requests that left the machine
	requests int
	excused  []string // parts of allowed console messages
}

func newVisitor(t *testing.T, browser context.Context, home string) *visitor {
	t.Helper()
	v := &visitor{t: t, home: home}
	ctx, leave := chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(v.listen))
	v.ctx = ctx
	t.Cleanup(leave)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	v.see(desktop)
	t.Cleanup(v.judge)
	return v
}

func (v *visitor) listen(event any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		v.requests++
		if !local(e.Request.URL) {
			v.faults = append(v.faults, "a request left the machine: "+e.Request.URL)
		}
	case *runtime.EventConsoleAPICalled:
		v.faults = append(v.faults, "the console was used: "+string(e.Type))
	case *runtime.EventExceptionThrown:
		v.faults = append(v.faults, "an exception: "+e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		v.faults = append(v.faults, fmt.Sprintf("the console said: %s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
	}
}

func local(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "about" || net.ParseIP(u.Hostname()).IsLoopback())
}

// judge reports the errors of the browser.
func (v *visitor) judge() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.requests == 0 {
		v.t.Error("no request was seen, so nothing is known about where requests went")
	}
next:
	for _, fault := range v.faults {
		for _, part := range v.excused {
			if strings.Contains(fault, part) {
				continue next
			}
		}
		v.t.Error(fault)
	}
}

// excuse allows console messages that contain part.
func (v *visitor) excuse(part string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.excused = append(v.excused, part)
}

// read gets a value from the browser, within the time for one step.
func read[T any](v *visitor, what string, action chromedp.Action[T]) T {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	got, err := chromedp.Run(ctx, action)
	if err != nil {
		v.t.Fatalf("%s: %v", what, err)
	}
	return got
}

// do runs steps that stay on the page.
func (v *visitor) do(what string, steps ...step) {
	v.t.Helper()
	read(v, what, chromedp.Steps(steps...))
}

// follow runs steps that lead to another page and waits for it.
func (v *visitor) follow(what string, status int64, steps ...step) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	response, err := chromedp.RunResponse(ctx, steps...)
	if err != nil {
		v.t.Fatalf("%s: %v", what, err)
	}
	if response.Status != status {
		v.t.Errorf("%s: got the status %d at %s; want %d", what, response.Status, response.URL, status)
	}
}

// open goes to a page by its URL.
func (v *visitor) open(address string, status int64) {
	v.t.Helper()
	response := read(v, address, chromedp.NavigateResponse(address))
	if response.Status != status {
		v.t.Errorf("%s: got the status %d; want %d", address, response.Status, status)
	}
}

// texts returns the visible text of every matching element.
func (v *visitor) texts(selector string) []string {
	v.t.Helper()
	found := read(v, selector, chromedp.Evaluate[[]string](`[...document.querySelectorAll(`+quote(selector)+`)].map(e => e.innerText.trim())`))
	for i, text := range found {
		found[i] = port.ReplaceAllString(text, "127.0.0.1")
	}
	return found
}

// port matches the address of a party, whose port is chosen when it starts.
var port = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// has reports whether an element matches.
func (v *visitor) has(selector string) bool { v.t.Helper(); return len(v.texts(selector)) > 0 }

func quote(s string) string {
	b, _ := json.Marshal(s) // a string always marshals
	return string(b)
}

// A look is a screen and a colour scheme.
type look struct {
	name          string
	width, height int64
	scheme        string
}

var (
	desktop     = look{"desktop", 1280, 800, "light"}
	desktopDark = look{"desktop-dark", 1280, 800, "dark"}
	phone       = look{"phone", 390, 844, "light"}
	phoneDark   = look{"phone-dark", 390, 844, "dark"}

	looks = []look{desktopDark, phone, phoneDark, desktop} // the last one stays
	light = []look{desktop, phone}
)

// see changes the screen and the colour scheme. Nothing moves on it, so that a
// screenshot needs no waiting.
func (v *visitor) see(l look) {
	v.t.Helper()
	var options []chromedp.EmulateViewportOption
	if l.width < 500 {
		options = append(options, chromedp.EmulatePortrait, chromedp.EmulateMobile, chromedp.EmulateTouch)
	}
	v.do("the look "+l.name, chromedp.EmulateViewport(l.width, l.height, options...),
		chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
			_, err := cdp.Call(ctx, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: l.scheme},
				{Name: "prefers-reduced-motion", Value: "reduce"},
			}})
			return err
		}))
}

// look judges what can be judged without eyes, on every screen and in every
// colour scheme: nothing wider than the screen, nothing clipped, every text
// readable. The rest is for eyes: screenshots of an element in some looks.
func (v *visitor) look(name, selector string, taken []look) {
	v.t.Helper()
	for _, l := range looks {
		v.see(l)
		for _, flaw := range read(v, "the flaws of "+name, chromedp.Evaluate[[]string](flaws)) {
			v.t.Errorf("%s, %s: %s", name, l.name, flaw)
		}
		if width := read(v, "the width of "+name, chromedp.Evaluate[int64](`document.documentElement.scrollWidth`)); width > l.width {
			v.t.Errorf("%s, %s: the page is %d pixels wide and has to be scrolled sideways", name, l.name, width)
		}
		if !slices.Contains(taken, l) {
			continue
		}
		png := read(v, "a screenshot of "+name, screenshot(selector))
		if err := os.WriteFile(filepath.Join("screenshots", name+"-"+l.name+".png"), png, 0o644); err != nil {
			v.t.Fatal(err)
		}
	}
}

// screenshot captures all of an element, on the screen or not, and quickly
// rather than in few bytes.
func screenshot(selector string) chromedp.Action[[]byte] {
	return func(ctx context.Context, tab *chromedp.Target) ([]byte, error) {
		clip, err := chromedp.Evaluate[page.Viewport](`(() => {
			const box = document.querySelector(`+quote(selector)+`).getBoundingClientRect();
			return { x: box.x + scrollX, y: box.y + scrollY, width: box.width, height: box.height, scale: 1 };
		})()`)(ctx, tab)
		if err != nil {
			return nil, err
		}
		beyond, fast := true, true
		shot, err := cdp.Call(ctx, tab, page.CaptureScreenshot, page.CaptureScreenshotParams{
			Clip: &clip, CaptureBeyondViewport: &beyond, OptimizeForSpeed: &fast,
		})
		return shot.Data, err
	}
}

// flaws lists clipped elements and texts with too little contrast (WCAG 2.2,
// 1.4.3), each as a sentence.
const flaws = `(() => {
	const rgba = c => { const n = c.match(/[\d.]+/g).map(Number); return n.length > 3 ? n : [...n, 1] };
	const over = ([r, g, b, a], under) => [r, g, b].map((x, i) => x * a + under[i] * (1 - a));
	const ground = e => {
		if (!e) return [255, 255, 255];
		const c = rgba(getComputedStyle(e).backgroundColor);
		return c[3] === 1 ? c.slice(0, 3) : over(c, ground(e.parentElement));
	};
	const light = c => {
		const [r, g, b] = c.map(x => (x /= 255) <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4);
		return .2126 * r + .7152 * g + .0722 * b;
	};
	const contrast = (a, b) => (Math.max(light(a), light(b)) + .05) / (Math.min(light(a), light(b)) + .05);
	const out = [];
	for (const e of document.body.querySelectorAll('*')) {
		if (!e.checkVisibility({ contentVisibilityAuto: true, visibilityProperty: true })) continue;
		const s = getComputedStyle(e), name = e.tagName.toLowerCase() + (e.id ? '#' + e.id : '') + (e.classList.length ? '.' + [...e.classList].join('.') : '');
		if (['hidden', 'clip'].includes(s.overflowX) && e.scrollWidth > e.clientWidth + 1) out.push(name + ' is clipped');
		const text = [...e.childNodes].filter(n => n.nodeType === Node.TEXT_NODE).map(n => n.data.trim()).join(' ').trim();
		if (!text) continue;
		const size = parseFloat(s.fontSize), large = size >= 24 || size >= 18.66 && s.fontWeight >= 700;
		const under = ground(e), got = contrast(over(rgba(s.color), under), under), want = large ? 3 : 4.5;
		if (got < want) out.push(name + ' has a contrast of ' + got.toFixed(2) + ', expected at least ' + want + ': ' + text.slice(0, 40));
		if (size < 10) out.push(name + ' is set in ' + size + ' px, expected at least 10: ' + text.slice(0, 40));
	}
	return out;
})()`
