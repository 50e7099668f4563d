package introspection

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"slices"
	"strings"
	"time"

	"github.com/accesstoken/accesstoken/internal/fetch"
	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/scopes"
)

// A Response is an introspection answer (RFC 7662 §2.2). If Active is false, every
// other field is zero. If a member is missing or null, its field is zero. Only the types
// of the members are checked. If you use the client alone, you should check the audience
// and the expiry yourself (RFC 7662 §4).
//
// A Response prints and marshals only active, issuer and client, so that logs get no
// other claims by accident.
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

	// Raw is the answer as it came, or the token_introspection of a signed answer.
	// If a member has no field here, read it with [Response.Decode].
	Raw json.RawMessage
}

// Decode reads the members of an active answer into v, a pointer to a struct or a map.
// Names are case-sensitive. Numbers keep their precision: in an any they arrive as
// [json.Number]. Members without a field in v are ignored. If the answer is inactive,
// Decode returns an error.
func (r Response) Decode(v any) error {
	if !r.Active || r.Raw == nil {
		return errors.New("introspection: Decode needs an active answer, and this one is inactive or empty")
	}
	if err := jose.Unmarshal(r.Raw, v); err != nil {
		return fmt.Errorf("introspection: the answer does not fit %T: %w", v, err)
	}
	return nil
}

// String shows active, issuer and client only.
func (r Response) String() string {
	return fmt.Sprintf("introspection.Response(active %t, issuer %q, client %q)", r.Active, r.Issuer, r.ClientID)
}

// Format prints what String returns, under every verb.
func (r Response) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.String()) }

// LogValue returns active, issuer and client_id. If a log may hold more, log the field
// itself, for example response.Subject.
func (r Response) LogValue() slog.Value {
	return slog.GroupValue(slog.Bool("active", r.Active), slog.String("issuer", r.Issuer), slog.String("client_id", r.ClientID))
}

// MarshalJSON returns the same members as LogValue; the whole answer is in Raw.
func (r Response) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{"active": r.Active, "issuer": r.Issuer, "client_id": r.ClientID})
}

// read reads a signed answer if Keys is set, and plain JSON if not. It accepts neither
// in place of the other.
func (c *Client) read(ctx context.Context, answer fetch.Response, now func() time.Time) (Response, error) {
	if c.verifier == nil {
		if !isJSON(answer.Header.Get("Content-Type")) {
			return Response{}, errors.New("the answer's Content-Type is not application/json")
		}
		return readObject(answer.Body)
	}
	body, err := c.verifier.verify(ctx, answer, now())
	if err != nil {
		return Response{}, err
	}
	return readObject(body)
}

// readObject returns an error unless active is true or false.
func readObject(body []byte) (Response, error) {
	var active string
	err := jose.Object(string(body), func(name, value string) error {
		if name == "active" {
			active = value
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
	return readActive(body)
}

func readActive(body []byte) (Response, error) {
	claims, err := jose.ReadAnswer(string(body))
	switch {
	case err != nil:
		return Response{}, err
	case claims.Fault != "":
		return Response{}, fmt.Errorf("%s (RFC 7662 §2.2)", claims.Fault)
	case claims.Scope.List != nil:
		return Response{}, errors.New(`expected "scope" to be a string`)
	case claims.OtherUse: // for a refresh token, Hydra sends token_type Bearer and token_use refresh_token
		return Response{}, ErrTokenType
	}
	return Response{
		Active:    true,
		Scope:     scopes.Parse(claims.Scope.Text),
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

// clone gives each caller its own copy, because callers that share an answer may change
// its slices.
func (r Response) clone() Response {
	r.Audience, r.Raw = slices.Clone(r.Audience), slices.Clone(r.Raw)
	return r
}

func isJSON(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && (mediaType == "application/json" || strings.HasSuffix(mediaType, "+json"))
}

// isAccessToken reports whether token_type (RFC 7662 §2.2) stands for an access token.
// It accepts the names of RFC 6749 §7.1 and RFC 8693 §3.
func (c *Client) isAccessToken(tokenType string) bool {
	switch strings.ToLower(tokenType) {
	case "":
		return !c.requireTokenType
	case "bearer", "dpop", "access_token", "urn:ietf:params:oauth:token-type:access_token":
		return true
	}
	return false
}
