package drive

import (
	"encoding/json"
	"net/http"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/resourcemetadata"
	"github.com/accesstoken/accesstoken/scopes"
)

func httpHandler(v *accesstoken.Validator, files *files) http.Handler {
	auth := middleware.New(v, nil)
	list := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, ok := accesstoken.FromContext(r.Context())
		if !ok { // the route is not behind Wrap
			http.Error(w, "no claims", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(listing{claims.Subject, files.of(claims.Subject)})
	})
	remove := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, ok := accesstoken.FromContext(r.Context())
		if !ok { // the route is not behind Wrap
			http.Error(w, "no claims", http.StatusInternalServerError)
			return
		}
		if !files.delete(claims.Subject, r.PathValue("name")) {
			http.Error(w, "file not found", http.StatusNotFound)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux := http.NewServeMux()
	mux.Handle(resourcemetadata.Pattern(v), resourcemetadata.Handler(v)) // for clients that know only the URL
	mux.Handle("GET /files", auth.Require(scopes.All("files:read")).Wrap(list))
	mux.Handle("DELETE /files/{name}", auth.Require(scopes.All("files:write")).Wrap(remove))
	return mux
}
