package introspection

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"slices"
	"strings"
	"time"

	"github.com/accesstoken/accesstoken/internal/fetch"
	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/scopes"
)

// A Response is an introspection answer (RFC 7662 §2.2). If Active is false,
// everything else is zero. Members that the server left out are zero. Only
// their types are checked: whether the token is for you, and whether it has
// ended, is left to you (RFC 7662 §4).
type Response struct {
	Active    bool       // active
	Scope     scopes.Set // scope
	ClientID  string     // client_id
	TokenType string     // token_type: Bearer, DPoP
	Expiry    time.Time  // exp
	IssuedAt  time.Time  // iat
	NotBefore time.Time  // nbf
	Subject   string     // sub
	Audience  []string   // aud: one string or several
	Issuer    string     // iss
	ID        string     // jti

	// Raw is the answer as it came, for the members that have no field here.
	Raw json.RawMessage
}

// read takes nothing for an answer that does not say true or false.
func read(answer fetch.Response) (Response, error) {
	if !isJSON(answer.Header.Get("Content-Type")) {
		return Response{}, errors.New("the answer is not JSON by its Content-Type")
	}
	var active string
	err := jose.Object(answer.Body, func(name, value []byte) error {
		if string(name) == "active" {
			active = string(value)
		}
		return nil
	})
	switch {
	case err != nil:
		return Response{}, err
	case active == "false":
		return Response{}, nil
	case active != "true":
		return Response{}, errors.New(`expected "active" to be true or false`)
	}
	return readActive(answer.Body)
}

func readActive(body []byte) (Response, error) {
	claims, err := jose.ReadClaims(body)
	switch {
	case err != nil:
		return Response{}, err
	case claims.Fault != "":
		return Response{}, fmt.Errorf("expected %q to have the type of RFC 7662 §2.2", claims.Fault)
	case claims.ScopeList != nil:
		return Response{}, errors.New(`expected "scope" to be a string`)
	}
	return Response{
		Active:    true,
		Scope:     scopes.Parse(claims.Scope),
		ClientID:  claims.ClientID,
		TokenType: claims.TokenType,
		Expiry:    claims.Expiry,
		IssuedAt:  claims.IssuedAt,
		NotBefore: claims.NotBefore,
		Subject:   claims.Subject,
		Audience:  claims.Audience,
		Issuer:    claims.Issuer,
		ID:        claims.ID,
		Raw:       body,
	}, nil
}

// clone keeps those who share an answer from sharing its memory.
func (r Response) clone() Response {
	r.Audience, r.Raw = slices.Clone(r.Audience), slices.Clone(r.Raw)
	return r
}

func isJSON(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && (mediaType == "application/json" || strings.HasSuffix(mediaType, "+json"))
}

// isAccessToken judges token_type (RFC 7662 §2.2). The names of RFC 8693 §3 are
// accepted beside those of RFC 6749 §7.1.
func (c *Client) isAccessToken(tokenType string) bool {
	switch strings.ToLower(tokenType) {
	case "":
		return !c.requireTokenType
	case "bearer", "dpop", "access_token", "urn:ietf:params:oauth:token-type:access_token":
		return true
	}
	return false
}
