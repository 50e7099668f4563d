package middleware

import (
	"encoding/json"
	"net/http"

	"github.com/accesstoken/accesstoken"
)

// text is the default of [Options.Body].
func text(_ *http.Request, refused *accesstoken.Error) (contentType string, body []byte) {
	return "text/plain; charset=utf-8", []byte(refused.Public().Text + "\n")
}

// Problem is an [Options.Body] that writes application/problem+json (RFC 9457).
func Problem(_ *http.Request, refused *accesstoken.Error) (contentType string, body []byte) {
	body, _ = json.Marshal(struct { // of strings and an int: cannot fail
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{http.StatusText(refused.HTTPStatus()), refused.HTTPStatus(), refused.Public().Text})
	return "application/problem+json", body
}
