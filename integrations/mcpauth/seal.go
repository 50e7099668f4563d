package mcpauth

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/accesstoken/accesstoken"
)

const (
	leastSecret = 32               // bytes
	stateLasts  = 30 * time.Minute // of a requestState
)

var (
	errSeal     = errors.New("mcpauth: the text was not sealed for this caller and this use, was altered, or is too old")
	errNoSeal   = errors.New("mcpauth: there is nothing to seal with; set Options.SealSecrets")
	errNoCaller = errors.New("mcpauth: a text is sealed for a caller, and none is known here; use Guard.Receive, and not SSE")
)

// Seal returns the content in a form that a client can keep, but neither read nor change. Use it
// for what a tool hands out to find something again, such as the id of a cart; a requestState is
// sealed by Receive. Only the same user with the same client can give it back, to [Guard.Open],
// with the same use, for the time that it lasts. ctx is that of a tool.
//
// A sealed text is no authentication, and its caller can use it more than once. It hides
// neither the length of the content nor that there is one.
func (g *Guard) Seal(ctx context.Context, use string, content []byte, lasts time.Duration) (string, error) {
	claims, ok := accesstoken.FromContext(ctx)
	switch {
	case g.keys == nil:
		return "", errNoSeal
	case !ok:
		return "", errNoCaller
	}
	return g.seal(claims, []string{use}, content, lasts), nil
}

// Open returns the content of a text that [Guard.Seal] returned. If the text was sealed for
// another caller or use, was altered, or is too old, the error is a refusal as PolicyDenied,
// which OnRefuse has heard of.
func (g *Guard) Open(ctx context.Context, use, sealed string) ([]byte, error) {
	claims, ok := accesstoken.FromContext(ctx)
	switch {
	case g.keys == nil:
		return nil, errNoSeal
	case !ok:
		return nil, errNoCaller
	}
	content, err := g.open(claims, []string{use}, sealed)
	if err != nil {
		return nil, g.validator.Refuse(ctx, err)
	}
	return content, nil
}

// keysOf derives the keys from secrets, of which the first seals.
func keysOf(secrets [][]byte) (keys []cipher.AEAD, err error) {
	if secrets != nil && len(secrets) == 0 {
		return nil, errors.New("mcpauth: SealSecrets is set but empty; leave it nil for no seal")
	}
	for n, secret := range secrets {
		if len(secret) < leastSecret {
			return nil, fmt.Errorf("mcpauth: SealSecrets[%d] has %d bytes; expected at least %d, from a source of random bytes", n, len(secret), leastSecret)
		}
		if slices.ContainsFunc(secrets[:n], func(other []byte) bool { return bytes.Equal(secret, other) }) {
			return nil, fmt.Errorf("mcpauth: SealSecrets[%d] is there twice", n)
		}
		key, err := hkdf.Key(sha256.New, secret, nil, "accesstoken mcpauth seal 1", 32)
		if err != nil {
			return nil, fmt.Errorf("mcpauth: SealSecrets[%d]: %w", n, err)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("mcpauth: SealSecrets[%d]: %w", n, err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, fmt.Errorf("mcpauth: SealSecrets[%d]: %w", n, err)
		}
		keys = append(keys, aead)
	}
	return keys, nil
}

// seal encrypts the content and when it ends. What it is bound to is authenticated with it.
func (g *Guard) seal(claims accesstoken.Claims, use []string, content []byte, lasts time.Duration) string {
	plain := binary.BigEndian.AppendUint64(nil, uint64(time.Now().Add(lasts).Unix()))
	plain = append(plain, content...)
	return base64.RawURLEncoding.EncodeToString(g.keys[0].Seal(nil, nil, plain, g.boundTo(claims, use)))
}

// open is the inverse of seal.
func (g *Guard) open(claims accesstoken.Claims, use []string, sealed string) ([]byte, error) {
	refused := accesstoken.Deny(accesstoken.PolicyDenied, errSeal)
	text, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil {
		return nil, refused
	}
	for _, key := range g.keys {
		plain, err := key.Open(nil, nil, text, g.boundTo(claims, use))
		if err != nil || len(plain) < 8 {
			continue
		}
		if time.Now().Unix() >= int64(binary.BigEndian.Uint64(plain)) {
			return nil, refused
		}
		return plain[8:], nil
	}
	return nil, refused
}

// boundTo writes what a sealed text is bound to, so that no two things have the same text.
func (g *Guard) boundTo(claims accesstoken.Claims, use []string) []byte {
	text, _ := json.Marshal(append([]string{claims.Issuer, claims.Subject, claims.ClientID, g.resource}, use...)) // strings can be written
	return text
}

// use returns what the requestState of an operation is sealed for. The members of its arguments
// may come back in another order.
func (o operation) use() ([]string, error) {
	arguments := any(map[string]any{})
	if o.arguments != "" && o.arguments != "null" {
		decoder := json.NewDecoder(strings.NewReader(o.arguments))
		decoder.UseNumber() // so that no two numbers become one
		if err := decoder.Decode(&arguments); err != nil {
			return nil, errMalformed
		}
	}
	ordered, err := json.Marshal(arguments)
	return []string{"requestState", o.method, o.name, string(ordered)}, err
}

// openState returns the content of a sealed requestState.
func (g *Guard) openState(claims accesstoken.Claims, of operation, state string) (string, error) {
	use, err := of.use()
	if err != nil {
		return "", err
	}
	content, err := g.open(claims, use, state)
	return string(content), err
}

// sealState seals a requestState.
func (g *Guard) sealState(claims accesstoken.Claims, of operation, state string) (string, error) {
	use, err := of.use()
	if err != nil {
		return "", err
	}
	return g.seal(claims, use, []byte(state), stateLasts), nil
}

// withState serves a request whose requestState, and that of its result, are sealed if there is
// a secret. What handles the request finds the content in its place.
func (g *Guard) withState(ctx context.Context, next mcp.MethodHandler, method string, request mcp.Request) (mcp.Result, error) {
	if g.keys == nil {
		return next(ctx, method, request)
	}
	opened, of, state := stateOf(method, request)
	if state == nil {
		return next(ctx, method, request)
	}
	claims, ok := callerOf(request)
	if *state != "" {
		if !ok {
			return nil, errNoCaller
		}
		var err error
		if *state, err = g.openState(claims, of, *state); err != nil {
			return nil, g.validator.Refuse(ctx, err)
		}
	}
	result, err := next(ctx, method, opened)
	if err != nil {
		return nil, err
	}
	sealed, state := stateOfResult(result)
	switch {
	case state == nil || *state == "":
		return result, nil
	case !ok:
		return nil, errNoCaller
	}
	*state, err = g.sealState(claims, of, *state)
	return sealed, err
}

// stateOf returns a copy of a request that may have a requestState, the operation to which that
// belongs, and where it is in the copy. For other requests, state is nil.
func stateOf(method string, request mcp.Request) (copied mcp.Request, of operation, state *string) {
	switch r := request.(type) {
	case *mcp.CallToolRequest:
		params := *r.Params
		of = operation{method: method, name: params.Name, arguments: string(params.Arguments)}
		return &mcp.CallToolRequest{Session: r.Session, Extra: r.Extra, Params: &params}, of, &params.RequestState
	case *mcp.GetPromptRequest:
		params := *r.Params
		arguments, _ := json.Marshal(params.Arguments) // strings can be written
		of = operation{method: method, name: params.Name, arguments: string(arguments)}
		return &mcp.GetPromptRequest{Session: r.Session, Extra: r.Extra, Params: &params}, of, &params.RequestState
	case *mcp.ReadResourceRequest:
		params := *r.Params
		of = operation{method: method, name: params.URI}
		return &mcp.ReadResourceRequest{Session: r.Session, Extra: r.Extra, Params: &params}, of, &params.RequestState
	}
	return nil, operation{}, nil
}

// stateOfResult returns a copy of a result, and where its requestState is in the copy. For other
// results, state is nil.
func stateOfResult(result mcp.Result) (copied mcp.Result, state *string) {
	switch r := result.(type) {
	case *mcp.CallToolResult:
		if r != nil {
			c := *r
			return &c, &c.RequestState
		}
	case *mcp.GetPromptResult:
		if r != nil {
			c := *r
			return &c, &c.RequestState
		}
	case *mcp.ReadResourceResult:
		if r != nil {
			c := *r
			return &c, &c.RequestState
		}
	}
	return nil, nil
}
