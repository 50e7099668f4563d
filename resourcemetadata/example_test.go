package resourcemetadata_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/resourcemetadata"
	"github.com/accesstoken/accesstoken/scopes"
)

func ExampleHandler() {
	validator, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: "https://api.example.com/orders",
		Issuers:  []accesstoken.Issuer{{URL: "https://login.example.com"}},
		Metadata: &resourcemetadata.Metadata{Name: "Orders"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer validator.Close()

	mux := http.NewServeMux()
	mux.Handle(resourcemetadata.Pattern(validator), resourcemetadata.Handler(validator))
	mux.Handle("/orders", middleware.New(validator, nil).Require(scopes.All("orders:read")).Wrap(http.NotFoundHandler()))

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/orders", nil))
	fmt.Println(w.Code, resourcemetadata.FromChallenge(w.Header()))

	w = httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/.well-known/oauth-protected-resource/orders", nil))
	fmt.Println(w.Code, w.Body)
	// Output:
	// 401 https://api.example.com/.well-known/oauth-protected-resource/orders
	// 200 {"authorization_servers":["https://login.example.com"],"bearer_methods_supported":["header"],"resource":"https://api.example.com/orders","resource_name":"Orders"}
}

func ExampleClient_Get() {
	var api *httptest.Server
	api = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/orders" {
			w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="`+api.URL+`/.well-known/oauth-protected-resource/orders"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, `{"resource":"%s/orders","authorization_servers":["https://login.example.com"]}`, api.URL)
	}))
	defer api.Close()

	response, err := api.Client().Get(api.URL + "/orders")
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	client := &resourcemetadata.Client{HTTPClient: api.Client()}
	document, err := client.Get(response.Request.Context(), api.URL+"/orders", resourcemetadata.FromChallenge(response.Header))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(document.AuthorizationServers)
	// Output: [https://login.example.com]
}

func ExampleURL() {
	url, err := resourcemetadata.URL("https://api.example.com/mcp")
	fmt.Println(url, err)
	// Output: https://api.example.com/.well-known/oauth-protected-resource/mcp <nil>
}
