// Package mcpauth protects servers of the Model Context Protocol (MCP) that are made with
// the MCP Go SDK.
//
//	guard, err := mcpauth.New(validator, &mcpauth.Options{
//		Policy: accesstoken.Policy{Scopes: scopes.All("mcp")},
//		Tools: map[string]accesstoken.Policy{
//			"search": {Scopes: scopes.None()},
//			"delete": {Scopes: scopes.All("files:write")},
//		},
//		Hosts: []string{"mcp.example.com"},
//	})
//	…
//	server.AddReceivingMiddleware(guard.Receive)
//	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil)
//	mux.Handle("/mcp", guard.Wrap(handler))
//	mux.Handle(resourcemetadata.Pattern(validator), resourcemetadata.Handler(validator))
//
// Every request is decided here, before the SDK sees it: the token of each HTTP request,
// whatever session it names, and the policy of each JSON-RPC message in its body. A refusal
// has the challenge that clients need to log in or to ask for more (RFC 6750, RFC 9728,
// RFC 9470). The SDK's own auth.RequireBearerToken is not needed, and its challenges lack
// the error that a client must see to ask for more.
//
// A tool finds its caller in its context, with [accesstoken.FromContext], if the server has
// [Guard.Receive]. That is the caller of this very request. Do not use the context in which a
// session began: another request of the session may have another token. A tool never gets
// the token, so it cannot pass it on.
//
// A session belongs to the caller that opened it. Requests of others are refused, with the
// SDK's Streamable HTTP handler by the SDK, and with its SSE handler by Wrap. Over SSE a tool
// finds no caller, because the SDK does not tell which request a message came with; policies
// are decided all the same.
package mcpauth

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/internal/adapter"
	"github.com/accesstoken/accesstoken/internal/ending"
	"github.com/accesstoken/accesstoken/middleware"
)

// Options configure a Guard.
type Options struct {
	_ [0]func()

	// Policy is what every request needs. It must not be the zero Policy; if any valid token
	// will do, set Scopes to scopes.None().
	Policy accesstoken.Policy

	// Tools, Prompts and Resources are what calls of a tool, uses of a prompt and reads of a
	// resource need besides Policy, by name or URI. If a map is not nil, operations that it
	// does not list are refused as PolicyDenied. To subscribe to a resource, or to complete an
	// argument of a prompt or resource, needs the same. Methods is for other methods, such as
	// "completion/complete"; those that it does not list need only Policy.
	// FreshIntrospection is for Policy only.
	Tools, Prompts, Resources, Methods map[string]accesstoken.Policy

	// Hosts are the values of Host that are accepted, in any case, with a port if clients send
	// one. They keep a web page out that has bound its own name to this server's address (DNS
	// rebinding). You must set Hosts.
	Hosts []string

	// Origins are the values of Origin that are accepted, for web pages, for example
	// "https://app.example.com". A request without Origin is accepted.
	Origins []string

	// HideRefused leaves out of lists the tools, prompts, resources and resource templates
	// that the caller would be refused, by the same rules; a template is looked up in
	// Resources by its own text. Otherwise lists show everything, so that a client can ask
	// for the scopes that a tool needs. A list that hides something is one page, and private
	// in caches. Receive does it, so the server must have Receive. Over SSE, where no caller
	// is known, everything with a rule is hidden.
	//
	// What is hidden is not secret: if a client calls a tool by a name that it guesses, the
	// challenge tells it which scopes the tool needs.
	HideRefused bool

	// SealSecrets, if not nil, seal each requestState, by which a tool, prompt or resource
	// remembers what it has asked the user for: the client can neither read nor change it. Only
	// the same user with the same client can send it back, with the same method, name and
	// arguments, within 30 minutes. Otherwise the request is refused as PolicyDenied.
	// Handlers find and return the content itself. Without SealSecrets, a handler must take
	// a requestState for what an attacker may have written. See also [Guard.Seal].
	//
	// A secret is at least 32 random bytes, which all replicas share. The first seals, and all
	// open. To replace it, put the new secret first once all replicas have it, and remove
	// the old one when what it sealed has ended. One secret should seal no more than 2^32
	// texts.
	SealSecrets [][]byte
}

// A Guard decides about the requests of an MCP server. It is safe for concurrent use.
type Guard struct {
	validator *accesstoken.Validator
	refuser   *middleware.Middleware
	options   Options
	rules     map[string]map[string]accesstoken.Policy // by method, then by name or URI
	sessions  sessions

	resource string        // to which sealed texts are bound
	keys     []cipher.AEAD // the first seals; nil without SealSecrets
}

// New returns a Guard. If the Options have faults, the error has one line for each of them.
func New(v *accesstoken.Validator, options *Options) (*Guard, error) {
	if v == nil || options == nil {
		return nil, errors.New("mcpauth: New needs a Validator and Options")
	}
	g := &Guard{validator: v, refuser: middleware.New(v, &middleware.Options{CORS: true, Body: refusal}), options: *options, resource: adapter.ResourceOf(v)}
	g.options.Hosts, g.options.Origins = slices.Clone(options.Hosts), slices.Clone(options.Origins)
	g.options.Methods = maps.Clone(options.Methods)
	tools, prompts, resources := maps.Clone(options.Tools), maps.Clone(options.Prompts), maps.Clone(options.Resources)
	g.rules = map[string]map[string]accesstoken.Policy{
		"tools/call": tools, "prompts/get": prompts,
		"resources/read": resources, "resources/subscribe": resources, "resources/unsubscribe": resources,
	}
	faults := options.faults(v)
	var err error
	if g.keys, err = keysOf(options.SealSecrets); err != nil {
		faults = append(faults, err)
	}
	if faults != nil {
		return nil, errors.Join(faults...)
	}
	return g, nil
}

// faults returns what is wrong with the Options, in a fixed order.
func (o *Options) faults(v *accesstoken.Validator) (faults []error) {
	if err := v.PolicyErr(o.Policy); err != nil {
		faults = append(faults, fmt.Errorf("mcpauth: Policy: %w", err))
	}
	if len(o.Hosts) == 0 || slices.Contains(o.Hosts, "") {
		faults = append(faults, errors.New("mcpauth: Hosts is empty, or has an empty element; list the values of Host that clients send"))
	}
	if slices.Contains(o.Origins, "") || slices.Contains(o.Origins, "null") {
		faults = append(faults, errors.New("mcpauth: Origins has an empty element, or null, which pages of any origin can send"))
	}
	for n, host := range o.Hosts {
		if host != "" && !isAuthority(host) {
			faults = append(faults, fmt.Errorf("mcpauth: Hosts[%d] is %q, which no client sends as Host; expected a host, and a port if clients send one, such as mcp.example.com:8443", n, host))
		}
	}
	for n, origin := range o.Origins {
		if origin != "" && origin != "null" && !isOrigin(origin) {
			faults = append(faults, fmt.Errorf("mcpauth: Origins[%d] is %q, which no browser sends as Origin; expected a scheme and a host in lower case, and a port that is not the default, such as https://app.example.com", n, origin))
		}
	}
	for field, policies := range map[string]map[string]accesstoken.Policy{"Tools": o.Tools, "Prompts": o.Prompts, "Resources": o.Resources, "Methods": o.Methods} {
		for name, policy := range policies {
			if policy.FreshIntrospection {
				faults = append(faults, fmt.Errorf("mcpauth: %s[%q]: FreshIntrospection is decided before the message is read; set it in Options.Policy", field, name))
			}
			if err := policy.Err(); err != nil {
				faults = append(faults, fmt.Errorf("mcpauth: %s[%q]: %w", field, name, err))
			} else if err := v.PolicyErr(o.Policy.And(policy)); err != nil {
				faults = append(faults, fmt.Errorf("mcpauth: %s[%q]: %w", field, name, err))
			}
		}
	}
	for method := range o.Methods {
		if namedBy[method] != "" {
			faults = append(faults, fmt.Errorf("mcpauth: Methods[%q] would not be looked at; set the policy for each name in Tools, Prompts or Resources, or for all requests in Policy", method))
		}
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return faults
}

// isAuthority reports whether a client can send the text as Host.
func isAuthority(host string) bool {
	u, err := url.Parse("//" + host)
	return err == nil && u.Host == host && u.Hostname() != "" && !strings.HasSuffix(host, ":") && !strings.Contains(host, "*")
}

// isOrigin reports whether a browser can send the text as Origin.
func isOrigin(origin string) bool {
	scheme, host, ok := strings.Cut(origin, "://")
	isDefault := scheme == "https" && strings.HasSuffix(host, ":443") || scheme == "http" && strings.HasSuffix(host, ":80")
	return ok && scheme != "" && isAuthority(host) && !isDefault && origin == strings.ToLower(origin)
}

// Wrap returns a handler that calls next, a handler of the SDK, if the request may pass, and
// refuses it otherwise. Responses and streams end with the token.
func (g *Guard) Wrap(next http.Handler) http.Handler {
	const never = math.MaxInt64 // the SDK must not judge the token, least of all by a clock of its own
	carried := auth.RequireBearerToken(tokenInfo, &auth.RequireBearerTokenOptions{AllowMissingExpiration: true, ClockSkew: never})(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.serve(w, r, carried) })
}

// serve decides about a request, and has the SDK serve it.
func (g *Guard) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if err := g.checkOrigin(r); err != nil {
		g.refuser.Refuse(w, r, err)
		return
	}
	credentials := g.validator.CredentialsOf(r)
	adapter.Depends(w.Header(), g.validator.Fields()[0], false, adapter.Authenticates(g.validator) && credentials.Missing())
	admitted, err := adapter.Authorize(r.Context(), g.validator, "", credentials, g.options.Policy)
	if err != nil {
		g.refuser.Refuse(w, r, err)
		return
	}
	defer admitted.End()
	// The body may come slowly, so reading it also ends with the token.
	ending.Serve(admitted.Context, w, g.validator, admitted.Claims, func(ctx context.Context) {
		g.serveAdmitted(w, r.WithContext(ctx), next, g.validator.Nonce(credentials), admitted.Claims)
	})
}

// serveAdmitted decides about the messages of a request whose token is good.
func (g *Guard) serveAdmitted(w http.ResponseWriter, r *http.Request, next http.Handler, nonce string, claims accesstoken.Claims) {
	id, err := g.checkMessages(w, r, claims)
	if ended, ok := errors.AsType[*accesstoken.Error](context.Cause(r.Context())); ok {
		err = ended
	}
	if err == nil {
		var done func()
		w, done, err = g.sessions.bind(w, r, claims)
		defer done()
	}
	switch {
	case errors.Is(err, errNoSession):
		unreadable(w, r, http.StatusNotFound, errNoSession)
	case errors.Is(err, errTooLarge):
		unreadable(w, r, http.StatusRequestEntityTooLarge, errTooLarge)
	case errors.Is(err, errMalformed):
		unreadable(w, r, http.StatusBadRequest, errMalformed)
	case err != nil:
		g.refuser.Refuse(w, withID(r, id), err)
	default:
		adapter.Accepted(w.Header(), r, nonce, true)
		next.ServeHTTP(w, withoutToken(r, g.validator.Fields(), claims))
	}
}

// checkOrigin refuses requests of web pages that the operator does not know.
func (g *Guard) checkOrigin(r *http.Request) error {
	origins := r.Header.Values("Origin")
	switch {
	case !slices.ContainsFunc(g.options.Hosts, func(host string) bool { return strings.EqualFold(host, r.Host) }):
		return accesstoken.OriginRefused
	case len(origins) > 1, len(origins) == 1 && !slices.Contains(g.options.Origins, origins[0]):
		return accesstoken.OriginRefused
	}
	return nil
}

// A callerKey is the key of the caller's claims in the context that the SDK gets. The SDK
// makes the contexts of tools from that of the request that began the session, so the claims
// are not in it under the key of package accesstoken.
type callerKey struct{}

// leastToken is the length from which a text in another field is the token, and not the same
// by chance.
const leastToken = 16

// withoutToken returns the request that the SDK gets: without the credentials, because the
// SDK hands the header to every tool, and without claims that a later request of the session
// could find. A proxy may have put the token into other fields, for example a cookie.
func withoutToken(r *http.Request, fields []string, claims accesstoken.Claims) *http.Request {
	carried := r.Clone(context.WithValue(adapter.Anonymous(r.Context()), callerKey{}, claims))
	token := r.Header.Get(fields[0])
	if _, afterScheme, ok := strings.Cut(token, " "); ok {
		token = strings.TrimSpace(afterScheme)
	}
	for field, values := range carried.Header {
		if len(token) >= leastToken && slices.ContainsFunc(values, func(value string) bool { return strings.Contains(value, token) }) {
			delete(carried.Header, field)
		}
	}
	for _, field := range append(fields, "Dpop") {
		carried.Header.Del(field)
	}
	carried.Header.Set("Authorization", "Bearer verified") // for auth.RequireBearerToken, which puts the TokenInfo in its place
	return carried
}

// claimsName is the name of the caller's claims in TokenInfo.Extra.
const claimsName = "accesstoken"

// tokenInfo is the SDK's verifier. The request was decided before.
func tokenInfo(ctx context.Context, _ string, _ *http.Request) (*auth.TokenInfo, error) {
	claims, ok := ctx.Value(callerKey{}).(accesstoken.Claims)
	if !ok {
		return nil, auth.ErrInvalidToken
	}
	return &auth.TokenInfo{
		Scopes:     slices.Collect(claims.Scopes().All()),
		Expiration: claims.End(),
		UserID:     principal(claims),
		Extra:      map[string]any{"issuer": claims.Issuer, "client_id": claims.ClientID, claimsName: claims},
	}, nil
}

// Receive is an mcp.Middleware. It puts the claims of the request's caller into the context
// of tools, prompts and resources, serves lists by Options.HideRefused, and seals by
// Options.SealSecrets. What a resource says is private in caches, because another caller may
// not read it.
func (g *Guard) Receive(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, request mcp.Request) (mcp.Result, error) {
		if claims, ok := callerOf(request); ok {
			ctx = accesstoken.NewContext(ctx, claims)
		} else {
			ctx = adapter.Anonymous(ctx)
		}
		if g.options.HideRefused {
			if list, isList, err := g.list(ctx, next, method, request); isList {
				return list, err
			}
		}
		result, err := g.withState(ctx, next, method, request)
		return forCallerOnly(result), err
	}
}

func callerOf(request mcp.Request) (accesstoken.Claims, bool) {
	extra := request.GetExtra()
	if extra == nil || extra.TokenInfo == nil {
		return accesstoken.Claims{}, false
	}
	claims, ok := extra.TokenInfo.Extra[claimsName].(accesstoken.Claims)
	return claims, ok
}
