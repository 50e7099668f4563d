package mcpauth

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/accesstoken/accesstoken"
)

// invalidRequest is the code of JSON-RPC for a message that cannot be read.
const invalidRequest = -32600

// longestID is the most bytes of a request's id that a refusal repeats.
const longestID = 256

// An idKey is the key of a request's JSON-RPC id, as JSON, in its context.
type idKey struct{}

// withID returns the request with the id of its one message, if that is known. An id is a
// string or a number.
func withID(r *http.Request, id string) *http.Request {
	if id == "" || len(id) > longestID || !strings.ContainsAny(id[:1], `"-0123456789`) {
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), idKey{}, id))
}

// errorBody writes a JSON-RPC error. Clients act on the status and on the challenge, but the
// MCP Go SDK's client gives up its connection, unless the body is an error with the id of its
// request.
func errorBody(r *http.Request, code int, message string) []byte {
	id, _ := r.Context().Value(idKey{}).(string)
	body, _ := json.Marshal(struct { // of strings, an int, and JSON that was read: cannot fail
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id,omitempty"`
		Error   any             `json:"error"`
	}{"2.0", json.RawMessage(id), struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}{code, message}})
	return body
}

// refusal is a middleware.Options.Body. The code of the error is the status of HTTP, because
// JSON-RPC and MCP have none for a refusal.
func refusal(r *http.Request, refused *accesstoken.Error) (contentType string, body []byte) {
	return "application/json", errorBody(r, refused.HTTPStatus(), refused.Public().Text)
}

// unreadable answers a request whose body cannot be read.
func unreadable(w http.ResponseWriter, r *http.Request, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(errorBody(r, invalidRequest, err.Error())) // fails only if the client is gone
}
