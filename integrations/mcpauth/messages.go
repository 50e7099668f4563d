package mcpauth

import (
	"bytes"
	"errors"
	"io"
	"iter"
	"net/http"
	"strings"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/internal/jose"
)

const (
	mostBody     = 1 << 20 // bytes of a body that is read to decide about it
	mostMessages = 100     // of a batch
)

// errTooLarge and errMalformed are no refusals: the message cannot be read, whoever sent it.
var (
	errTooLarge  = errors.New("the body has more than 1 MiB, or more than 100 messages")
	errMalformed = errors.New("the body is not a JSON-RPC message, or has a member twice")
)

// An operation is what a message asks for.
type operation struct {
	method, name string // name is a URI for resources; rules are found by both

	// What a requestState is bound to, and the state itself. The arguments are JSON.
	arguments, state string
}

// checkMessages decides about the messages in the body, and leaves the body to be read
// again. Mcp-Method and Mcp-Name are not looked at, because they may contradict the body. It
// returns the id of the message, as JSON, if there is one.
func (g *Guard) checkMessages(w http.ResponseWriter, r *http.Request, claims accesstoken.Claims) (id string, err error) {
	if r.Method != http.MethodPost {
		return "", nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBody))
	if err != nil {
		if _, isLarge := errors.AsType[*http.MaxBytesError](err); isLarge {
			return "", errTooLarge
		}
		return "", errMalformed
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	id, operations, err := operationsIn(string(body))
	if err != nil {
		return id, err
	}
	policy, demands, err := g.demandOf(operations...)
	if err == nil && demands {
		err = g.validator.Check(r.Context(), claims, policy)
	}
	if err == nil {
		err = g.checkStates(claims, operations)
	}
	return id, err
}

// checkStates refuses a requestState that was sealed for another caller or operation.
func (g *Guard) checkStates(claims accesstoken.Claims, operations []operation) error {
	if g.keys == nil {
		return nil
	}
	for _, o := range operations {
		if o.state == "" {
			continue
		}
		if _, err := g.openState(claims, o, o.state); err != nil {
			return err
		}
	}
	return nil
}

// demandOf returns what operations need together, and Options.Policy. If none of them has a
// rule, demands is false: Options.Policy was decided before.
func (g *Guard) demandOf(operations ...operation) (policy accesstoken.Policy, demands bool, err error) {
	policy = g.options.Policy
	policy.FreshIntrospection = false // decided before
	for o := range each(operations) {
		more, ok, err := g.policyOf(o)
		if err != nil {
			return accesstoken.Policy{}, false, err
		}
		if ok {
			policy, demands = policy.And(more), true
		}
	}
	return policy, demands, nil
}

// each goes through the operations, but only once through those for which the same rule is
// looked up, because the policy would grow with each.
func each(operations []operation) iter.Seq[operation] {
	return func(yield func(operation) bool) {
		seen := map[[2]string]bool{}
		for _, o := range operations {
			rule := [2]string{o.method, o.name}
			if !seen[rule] && !yield(o) {
				return
			}
			seen[rule] = true
		}
	}
}

// policyOf returns what an operation needs besides Options.Policy. If there are rules for its
// kind, and none for it, it is refused, because a forgotten rule must not open a tool.
func (g *Guard) policyOf(o operation) (accesstoken.Policy, bool, error) {
	rules, ofKind := g.rules[o.method]
	if !ofKind {
		policy, ok := g.options.Methods[o.method]
		return policy, ok, nil
	}
	if rules == nil {
		return accesstoken.Policy{}, false, nil
	}
	policy, ok := rules[o.name]
	if !ok {
		return accesstoken.Policy{}, false, accesstoken.Deny(accesstoken.PolicyDenied, errors.New("mcpauth: the operation has no rule in Options"))
	}
	return policy, true, nil
}

// operationsIn returns the operations in a body: one message, or a batch. id is that of one
// message.
func operationsIn(body string) (id string, operations []operation, err error) {
	messages := []string{body}
	if strings.HasPrefix(strings.TrimLeft(body, " \t\r\n"), "[") {
		wrapped := `{"batch":` + body + "}" // so that the whole is read strictly
		if jose.Body(wrapped, func(_, batch string) error { messages, _ = jose.Elements(batch); return nil }) != nil || len(messages) == 0 {
			return "", nil, errMalformed
		}
		if len(messages) > mostMessages {
			return "", nil, errTooLarge
		}
	}
	for _, message := range messages {
		var more []operation
		if id, more, err = operationsOf(message); err != nil {
			return "", nil, err
		}
		operations = append(operations, more...)
	}
	if len(messages) > 1 {
		id = ""
	}
	return id, operations, nil
}

// namedBy are the parameters by which methods with rules name what they are about.
var namedBy = map[string]string{
	"tools/call": "name", "prompts/get": "name",
	"resources/read": "uri", "resources/subscribe": "uri", "resources/unsubscribe": "uri",
}

// operationsOf returns the operations of a message: its own, and what the operation brings with
// it. subscriptions/listen subscribes to resources, and the completion of an argument tells
// something of its prompt or resource.
func operationsOf(message string) (id string, operations []operation, err error) {
	members, err := read(message, "method", "params", "id")
	if err != nil {
		return "", nil, err
	}
	method, err := textOf(members[0])
	if err != nil {
		return "", nil, err
	}
	if method != "" { // otherwise it is a response, with the id of a request of the server
		id = members[2]
	}
	own, params := operation{method: method}, members[1]
	operations = []operation{own}
	switch member, isNamed := namedBy[method]; {
	case !strings.HasPrefix(params, "{"): // without parameters
	case isNamed:
		err = operations[0].read(params, member)
	case method == "completion/complete":
		operations, err = completed(own, params)
	case method == "subscriptions/listen":
		operations, err = watched(own, params)
	}
	return id, operations, err
}

// read reads the parameters of an operation that has a name.
func (o *operation) read(params, nameMember string) error {
	members, err := read(params, nameMember, "arguments", "requestState")
	if err != nil {
		return err
	}
	o.arguments = members[1]
	if o.name, err = textOf(members[0]); err != nil {
		return err
	}
	o.state, err = textOf(members[2])
	return err
}

// completed adds the use of the prompt or resource whose argument is completed.
func completed(own operation, params string) ([]operation, error) {
	members, err := readIn(params, "ref", "type", "name", "uri")
	if err != nil {
		return nil, err
	}
	kind, err1 := textOf(members[0])
	name, err2 := textOf(members[1])
	uri, err3 := textOf(members[2])
	switch kind {
	case "ref/prompt":
		return []operation{own, {method: "prompts/get", name: name}}, errors.Join(err1, err2)
	case "ref/resource":
		return []operation{own, {method: "resources/read", name: uri}}, errors.Join(err1, err3)
	}
	return []operation{own}, err1 // the SDK knows no other kind
}

// watched adds the subscriptions to resources.
func watched(own operation, params string) ([]operation, error) {
	members, err := readIn(params, "notifications", "resourceSubscriptions")
	if err != nil || members[0] == "" || members[0] == "null" {
		return []operation{own}, err
	}
	uris, ok := jose.Strings(members[0])
	if !ok {
		return nil, errMalformed
	}
	operations := []operation{own}
	for _, uri := range uris {
		operations = append(operations, operation{method: "resources/subscribe", name: uri})
	}
	return operations, nil
}

// read returns the values of an object's members with these names, as JSON; "" for one that is
// absent. A member whose name differs from one of them only in its case is malformed, because
// a reader that ignores case would take one for the other.
func read(object string, names ...string) ([]string, error) {
	values := make([]string, len(names))
	err := jose.Body(object, func(found, value string) error {
		for n, name := range names {
			switch {
			case found == name:
				values[n] = value
			case strings.EqualFold(found, name):
				return errMalformed
			}
		}
		return nil
	})
	if err != nil {
		return nil, errMalformed
	}
	return values, nil
}

// readIn is read for the object that is a member of another. If it is not an object, it has no
// members.
func readIn(object, member string, names ...string) ([]string, error) {
	inner, err := read(object, member)
	if err != nil || !strings.HasPrefix(inner[0], "{") {
		return make([]string, len(names)), err
	}
	return read(inner[0], names...)
}

// textOf returns the text of a string that may be absent.
func textOf(value string) (string, error) {
	if value == "" {
		return "", nil
	}
	text, ok := jose.String(value)
	if !ok {
		return "", errMalformed
	}
	return text, nil
}
