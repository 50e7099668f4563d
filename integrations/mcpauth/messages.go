package mcpauth

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/internal/jose"
)

// mostBody is the most bytes of a body that is read to decide about it.
const mostBody = 1 << 20

// errTooLarge and errMalformed are no refusals: the message cannot be read, whoever sent it.
var (
	errTooLarge  = errors.New("the body has more than 1 MiB")
	errMalformed = errors.New("the body is not a JSON-RPC message, or has a member twice")
)

// A message is what a policy needs to know of a JSON-RPC message.
type message struct{ method, name, uri string }

// checkMessages decides about the messages in the body, and leaves the body to be read
// again. Mcp-Method and Mcp-Name are not looked at, because they may contradict the body.
func (g *Guard) checkMessages(w http.ResponseWriter, r *http.Request, claims accesstoken.Claims) error {
	if r.Method != http.MethodPost {
		return nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBody))
	if err != nil {
		if _, isLarge := errors.AsType[*http.MaxBytesError](err); isLarge {
			return errTooLarge
		}
		return errMalformed
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	messages, err := messagesIn(string(body))
	if err != nil {
		return err
	}
	policy, demands := g.options.Policy, false
	policy.FreshIntrospection = false // decided before
	for _, m := range messages {
		more, ok, err := g.policyOf(m)
		if err != nil {
			return err
		}
		if ok {
			policy, demands = policy.And(more), true
		}
	}
	if !demands {
		return nil
	}
	return g.validator.Check(r.Context(), claims, policy)
}

// policyOf returns what a message needs besides Options.Policy. If there are rules for its
// kind, and none for it, it is refused, because a forgotten rule must not open a tool.
func (g *Guard) policyOf(m message) (accesstoken.Policy, bool, error) {
	rules, ofKind := g.rules[m.method]
	if !ofKind {
		policy, ok := g.options.Methods[m.method]
		return policy, ok, nil
	}
	if rules == nil {
		return accesstoken.Policy{}, false, nil
	}
	name := m.name
	if strings.HasPrefix(m.method, "resources/") {
		name = m.uri
	}
	policy, ok := rules[name]
	if !ok {
		return accesstoken.Policy{}, false, accesstoken.Deny(accesstoken.PolicyDenied, errors.New("mcpauth: the operation has no rule in Options"))
	}
	return policy, true, nil
}

// messagesIn reads the messages of a body: one, or a batch.
func messagesIn(body string) ([]message, error) {
	texts := []string{body}
	if strings.HasPrefix(strings.TrimLeft(body, " \t\r\n"), "[") {
		wrapped := `{"batch":` + body + "}" // so that the whole is read strictly
		if jose.Object(wrapped, func(_, batch string) error { texts, _ = jose.Elements(batch); return nil }) != nil || len(texts) == 0 {
			return nil, errMalformed
		}
	}
	messages := make([]message, len(texts))
	for n, text := range texts {
		if err := messages[n].read(text); err != nil {
			return nil, err
		}
	}
	return messages, nil
}

// read reads a message. A member whose name differs from one of ours only in its case is
// malformed, because a reader that ignores case would take one for the other.
func (m *message) read(text string) error {
	wrongType := false
	str := func(to *string, value string) error {
		var ok bool
		*to, ok = jose.String(value)
		wrongType = wrongType || !ok
		return nil
	}
	err := jose.Object(text, func(name, value string) error {
		switch {
		case name == "method":
			return str(&m.method, value)
		case name == "params" && strings.HasPrefix(value, "{"):
			return jose.Object(value, func(name, value string) error {
				switch {
				case name == "name":
					return str(&m.name, value)
				case name == "uri":
					return str(&m.uri, value)
				case strings.EqualFold(name, "name"), strings.EqualFold(name, "uri"):
					return errMalformed
				}
				return nil
			})
		case name != "params" && (strings.EqualFold(name, "method") || strings.EqualFold(name, "params")):
			return errMalformed
		}
		return nil
	})
	if err != nil || wrongType && (m.method == "" || m.needsName()) {
		return errMalformed
	}
	return nil
}

// needsName reports whether a rule is found by the name or the URI in the parameters.
func (m *message) needsName() bool {
	return m.method == "tools/call" || m.method == "prompts/get" || strings.HasPrefix(m.method, "resources/")
}
