//go:build interop

package interop_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

// hardPaths are paths that clients may write after the prefix. If a proxy decodes a path
// and encodes it again, it changes most of them.
var hardPaths = []string{
	"/",
	"/files",
	"/files/",
	"/files/a%3Ab",
	"/files/a%3ab",
	"/files/a:b",
	"/files/a%2Fb",
	"/files/a%2fb",
	"/files//a",
	"//files",
	"/files/a%20b",
	"/files/100%25",
	"/files/%2541",
	"/files/%41%7e",
	"/files/./a",
	"/files/a/../b",
	"/files/a/%2e%2E/b",
	"/files;v=1/a;b=c,d",
	"/files/%C3%A9/%e2%82%ac",
	"/files/a+b%2Bc",
	"/files/a%3Fb%23c",
	"/files/a&b=c'd(e)*!$@",
	"/files/a%5Bb%5D%7C%5E",
	"/files/~a_b-c.d",
	"/files/a?",
	"/files/a?b=c%2Fd&e=/../f//g",
	"/files/" + strings.Repeat("long%2F", 200),
}

// With the configuration that readers of docs/dpop.md copy, proofs are accepted for any
// path. NGINX runs the blocks of the page, with the addresses of this test.
func TestTheNGINXRecipesOfThePageKeepEveryPath(t *testing.T) {
	for _, r := range nginxRecipes(t, "../docs/dpop.md") {
		t.Run(r.urls, func(t *testing.T) {
			b := serveBehind(t, r)
			for _, path := range hardPaths {
				if got := b.get(t, "/drive"+path); got != "200 alice" {
					t.Errorf("GET /drive%s: got %s; want 200 alice", path, got)
				}
			}
		})
	}
}

// The paths are hard indeed: a proxy_pass with a slash after the port decodes them. If a
// client writes the prefix in another way, the second recipe does not accept it.
func TestAPathThatNGINXChangesIsRefused(t *testing.T) {
	recipes := nginxRecipes(t, "../docs/dpop.md")
	if len(recipes) != 2 {
		t.Fatalf("got %d recipes on the page; want one that keeps the prefix, and one that takes it away", len(recipes))
	}
	decoding := recipes[0]
	decoding.config = strings.Replace(decoding.config, ":8090;", ":8090/;", 1)
	decoding.urls += "/drive"
	b := serveBehind(t, decoding)
	for path, want := range map[string]string{
		"/drive/files":        "200 alice",
		"/drive/files/a%3Ab":  "401 DPOP_PROOF_INVALID",
		"/drive/files/a%2Fb":  "401 DPOP_PROOF_INVALID",
		"/drive/files//a":     "401 DPOP_PROOF_INVALID",
		"/drive/files/a%3fb":  "200 alice", // NGINX encodes a character that would end the path
		"/drive/files/100%25": "200 alice",
	} {
		if got := b.get(t, path); got != want {
			t.Errorf("with a slash after the port: GET %s: got %s; want %s", path, got, want)
		}
	}
	b = serveBehind(t, recipes[1])
	for _, path := range []string{"/%64rive/files", "//drive/files", "/a/../drive/files"} {
		if got := b.get(t, path); got != "404" {
			t.Errorf("the prefix in another spelling: GET %s: got %s; want 404, from NGINX", path, got)
		}
	}
}

// A recipe is a block of the page, and the URLs that its comment says to set.
type recipe struct{ config, urls string }

func nginxRecipes(t *testing.T, page string) (found []recipe) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range regexp.MustCompile("(?ms)^```nginx\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		urls := regexp.MustCompile(`# URLs: (\S+)`).FindStringSubmatch(block[1])
		if urls == nil || !strings.Contains(block[1], "127.0.0.1:8090") {
			t.Fatalf("%s: want a proxy_pass to 127.0.0.1:8090 and a comment with the URLs in\n%s", page, block[1])
		}
		found = append(found, recipe{block[1], urls[1]})
	}
	if len(found) == 0 {
		t.Fatalf("%s has no block for NGINX", page)
	}
	return found
}

// A backend is a resource server behind NGINX, and one client with its bound token.
type backend struct {
	*resourceServer
	public string // the URL of NGINX
	signer *dpop.Signer
	token  string
}

func serveBehind(t *testing.T, r recipe) *backend {
	t.Helper()
	as := accesstokentest.NewServer(t)
	web := httptest.NewUnstartedServer(nil)
	b := &backend{public: freeURL(t), signer: newSigner(t)}
	b.token = as.Token(accesstokentest.Claims{"cnf": map[string]any{"jkt": b.signer.Thumbprint()}})
	verifier, err := dpop.NewVerifier(dpop.Config{URLs: []string{strings.Replace(r.urls, "https://api.example.com", b.public, 1)}})
	if err != nil {
		t.Fatal(err)
	}
	config := accesstoken.Config{Issuers: []accesstoken.Issuer{{URL: as.URL}}, HTTPClient: as.Client(), DPoP: verifier}
	b.resourceServer = serveOn(t, web, config, func(auth *middleware.Middleware) http.Handler {
		return auth.Require(scopes.None()).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			claims, _ := accesstoken.FromContext(r.Context())
			fmt.Fprint(w, claims.Subject)
		}))
	})
	startNGINX(t, b.public, strings.ReplaceAll(r.config, "127.0.0.1:8090", web.Listener.Addr().String()))
	return b
}

// get asks for a path exactly as it is written here, with a proof for the URL, and
// returns the status, and the caller or the reason for the refusal.
func (b *backend) get(t *testing.T, path string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.public, nil)
	if err != nil {
		t.Fatal(err)
	}
	written, query, hasQuery := strings.Cut(path, "?")
	request.URL = &url.URL{Scheme: "http", Host: request.URL.Host, Opaque: written, RawQuery: query, ForceQuery: hasQuery}
	if strings.HasPrefix(written, "//") { // net/http's client would read the path as a host
		request.URL.Opaque = "//" + request.URL.Host + written
	}
	request.Header.Set("Authorization", "DPoP "+b.token)
	request.Header.Set("DPoP", prove(t, b.signer, dpop.Proof{Method: http.MethodGet, URL: b.public + written, Token: b.token}))
	b.refused.Store(nil)
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(response.StatusCode)
	if refused := b.refused.Load(); refused != nil {
		return got + " " + string(refused.Reason)
	}
	if response.StatusCode == http.StatusOK {
		return got + " " + string(body)
	}
	return got
}

// startNGINX starts NGINX on the URL with a part of a configuration from a page: a
// location, or a part for a server and the level above. NGINX writes only to a folder of
// its own, and ends with the test.
func startNGINX(t *testing.T, at, part string) {
	t.Helper()
	program, err := findOrInstall(findNGINX, "nginx-light")
	if err != nil {
		t.Fatalf("NGINX is not here; install it: %v", err)
	}
	dir := t.TempDir()
	listen := "listen " + strings.TrimPrefix(at, "http://") + ";"
	if strings.Contains(part, "server {") {
		part = strings.Replace(part, "server {", "server { "+listen, 1)
	} else {
		part = "server { " + listen + "\n" + part + "}\n"
	}
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, []byte(nginxFrame+"http {\naccess_log off;\n"+nginxFolders+part+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "NGINX", func(ctx context.Context) *exec.Cmd {
		return exec.CommandContext(ctx, program, "-p", dir, "-c", config, "-e", "stderr")
	})
	p.awaitListener(strings.TrimPrefix(at, "http://"))
}

// nginxFrame makes NGINX a single process in the foreground, which ends by itself.
const nginxFrame = "daemon off; master_process off; pid nginx.pid; error_log stderr warn;\nevents {}\n"

const nginxFolders = `client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
uwsgi_temp_path uwsgi; scgi_temp_path scgi;
`

// findNGINX also looks in Debian's folder, because not every user has that in PATH.
func findNGINX() (program string, err error) {
	if program, err = exec.LookPath("nginx"); err != nil {
		return exec.LookPath("/usr/sbin/nginx")
	}
	return program, nil
}
