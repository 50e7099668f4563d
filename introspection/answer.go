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

// A Response is an introspection answer (RFC 7662 §2.2). If Active is false,
// everything else is zero. Members that the server left out, or that are null, are
// zero. Only their types are checked: whether the token is for you, and whether it has
// ended, is left to you (RFC 7662 §4).
//
// A Response prints its issuer and client alone, and marshals as that: logs get no
// claims by accident.
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

	// Raw is the answer as it came, or the token_introspection of a signed one,
	// for the members that have no field here; [Response.Decode] reads them.
	Raw json.RawMessage
}

// Decode reads all members of an active answer into v, a pointer to a struct or
// a map. Names match exactly, also in their case. Numbers stay exact: in an any
// they arrive as [json.Number]. Members that v has no place for are left out. Of
// an inactive answer there is nothing to decode, which is an error.
func (r Response) Decode(v any) error {
	if !r.Active || r.Raw == nil {
		return errors.New("introspection: there is no active answer to decode")
	}
	if err := jose.Unmarshal(r.Raw, v); err != nil {
		return fmt.Errorf("introspection: the answer does not fit %T: %w", v, err)
	}
	return nil
}

// String names issuer and client only.
func (r Response) String() string {
	return fmt.Sprintf("introspection.Response(active %t, issuer %q, client %q)", r.Active, r.Issuer, r.ClientID)
}

// Format prints what String returns, under every verb.
func (r Response) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.String()) }

// LogValue returns active, issuer and client_id. What else a log may hold is for its
// owner to say: log response.Subject where that is wanted.
func (r Response) LogValue() slog.Value {
	return slog.GroupValue(slog.Bool("active", r.Active), slog.String("issuer", r.Issuer), slog.String("client_id", r.ClientID))
}

// MarshalJSON returns what LogValue does; what the server said is in Raw.
func (r Response) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{"active": r.Active, "issuer": r.Issuer, "client_id": r.ClientID})
}

// read reads plain JSON, or a signed answer where that is demanded: neither is
// taken for the other.
func (c *Client) read(ctx context.Context, answer fetch.Response, now func() time.Time) (Response, error) {
	if c.seal == nil {
		if !isJSON(answer.Header.Get("Content-Type")) {
			return Response{}, errors.New("the answer is not JSON by its Content-Type")
		}
		return readObject(answer.Body)
	}
	body, err := c.seal.open(ctx, answer, now())
	if err != nil {
		return Response{}, err
	}
	return readObject(body)
}

// readObject takes nothing for an answer that does not say true or false.
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
	case claims.OtherUse: // Hydra says Bearer of a refresh token, and refresh_token in token_use
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
