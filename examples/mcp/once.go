package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/accesstoken/accesstoken/examples/quickstart/issuer"
	"github.com/accesstoken/accesstoken/examples/quickstart/owner"
)

// A call is one call of a tool, with what is expected.
type call struct {
	title, tool string
	arguments   map[string]any
	code        string   // what Alice enters if she is asked for a second factor
	refusals    []string // a part of each challenge on the way
	result      string   // or its beginning
}

const givesUp = "the client gives up: "

const stepUpNeeded = `error="insufficient_user_authentication", error_description="a different authentication is required", acr_values="urn:example:mfa", max_age="300", scope="notes:read notes:write", `

var calls = []call{
	{
		title:    "The client knows only the URL of the MCP server, which tells it where to get a token",
		tool:     "notes_list",
		refusals: []string{`scope="notes:read", resource_metadata=`}, result: `{"notes":[],"owner":"user-7f3a"}`,
	},
	{
		title: "This tool needs one more scope, and the challenge names all that it needs",
		tool:  "notes_add", arguments: map[string]any{"text": "buy tea"},
		refusals: []string{`error="insufficient_scope", error_description="the access token lacks a required scope", scope="notes:read notes:write", `},
		result:   `{"notes":["buy tea"],"owner":"user-7f3a"}`,
	},
	{
		title:    "This tool needs a second factor, so Alice has to log in again. She leaves it out, and the new token is refused like the old one",
		tool:     "notes_delete",
		refusals: []string{stepUpNeeded, stepUpNeeded}, result: givesUp,
	},
	{
		title: "She tries again, with the second factor",
		tool:  "notes_delete", code: alice.Code,
		refusals: []string{stepUpNeeded}, result: `{"notes":[],"owner":"user-7f3a"}`,
	},
}

// drive makes all calls and prints each request. It returns an error if a result was not as
// expected.
func drive(ctx context.Context, out io.Writer, endpoint string, registered issuer.Client) error {
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	w := &witness{out: out, endpoint: endpoint, base: base}
	cookies, err := cookiejar.New(nil) // Alice stays logged in
	if err != nil {
		return err
	}
	user := &owner.Owner{Login: alice.Login, Password: alice.Password, Transport: party{w, "browser"}, Jar: cookies, Until: registered.RedirectURI}
	transport, err := newTransport(endpoint, registered, user, &http.Client{Transport: party{w, "client"}})
	if err != nil {
		return err
	}
	for n, c := range calls {
		fmt.Fprintf(out, "%d  %s\n\n", n+1, c.title)
		user.Code, w.challenges = c.code, nil
		result, err := c.make(ctx, transport)
		if err != nil {
			result = givesUp + err.Error()
		}
		fmt.Fprintf(out, "\n    %s\n\n", result)
		if err := c.check(result, w.challenges); err != nil {
			return err
		}
	}
	return nil
}

// make calls the tool in a session of its own, because the SDK ends a session that was
// refused.
func (c call) make(ctx context.Context, transport mcp.Transport) (string, error) {
	client := mcp.NewClient(&mcp.Implementation{Name: "notes-client", Version: "1"}, nil)
	session, err := client.Connect(ctx, transport, nil)
	if err != nil {
		return "", err
	}
	defer session.Close()
	result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: c.tool, Arguments: c.arguments})
	if err != nil {
		return "", err
	}
	text, ok := result.Content[0].(*mcp.TextContent)
	if !ok || result.IsError {
		return "", fmt.Errorf("the tool failed: %v", result.Content)
	}
	return text.Text, nil
}

// check reports whether the call went as expected.
func (c call) check(result string, challenges []string) error {
	if !strings.HasPrefix(result, c.result) {
		return fmt.Errorf("%s: got %s; want %s", c.tool, result, c.result)
	}
	if len(challenges) != len(c.refusals) {
		return fmt.Errorf("%s: got the challenges %q; want %d", c.tool, challenges, len(c.refusals))
	}
	for n, want := range c.refusals {
		if !strings.Contains(challenges[n], want) {
			return fmt.Errorf("%s: got the challenge %s; want one with %s", c.tool, challenges[n], want)
		}
	}
	return nil
}

// A witness prints each request, and collects the challenges.
type witness struct {
	out        io.Writer
	endpoint   string
	base       http.RoundTripper
	challenges []string
}

// A party is the transport of a party, whose requests the witness sees.
type party struct {
	*witness
	name string
}

func (p party) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := p.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	to := "authorization server"
	if strings.HasPrefix(p.endpoint, "http://"+r.URL.Host+"/") {
		to = "MCP server"
	}
	fmt.Fprintf(p.out, "    %-33s %-4s %s%s → %s\n", p.name+" → "+to, r.Method, r.URL.Path, about(r), response.Status)
	for _, challenge := range response.Header.Values("WWW-Authenticate") {
		fmt.Fprintf(p.out, "        %s\n", challenge)
		p.challenges = append(p.challenges, challenge)
	}
	return response, nil
}

// about returns what the request is about: the message, or what the user is asked for.
func about(r *http.Request) (text string) {
	for _, name := range []string{"Mcp-Method", "Mcp-Name"} {
		if value := r.Header.Get(name); value != "" {
			text += " " + value
		}
	}
	for _, name := range []string{"scope", "acr_values", "max_age"} {
		if value := r.URL.Query().Get(name); value != "" {
			text += fmt.Sprintf(" %s=%q", name, value)
		}
	}
	return text
}
