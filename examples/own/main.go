// Command own is a resource server whose callers have an access token, an API key, or a
// login at the Application Load Balancer in front of it. A WebSocket is authenticated by
// its first message.
//
//	go run ./own -issuer https://login.example.com -resource https://api.example.com
//
// It prints an API key when it starts.
package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

func main() {
	issuer := flag.String("issuer", os.Getenv("ISSUER"), "the authorization server: the iss of its tokens")
	resource := flag.String("resource", os.Getenv("RESOURCE"), "this resource server: the aud of tokens for it")
	arn := flag.String("alb", os.Getenv("ALB"), "the ARN of the load balancer, if there is one")
	region := flag.String("region", os.Getenv("AWS_REGION"), "where the load balancer is")
	addr := flag.String("addr", "127.0.0.1:8090", "where to listen")
	flag.Parse()

	key := rand.Text()
	keys := keyring{}
	keys.add(key, accesstoken.Identity{Issuer: "api-keys", ClientID: "ci", ID: "key-1", Scopes: scopes.Parse("orders:read chat")})
	fmt.Println("X-Api-Key:", key)
	authenticate := keys.authenticate
	if *arn != "" {
		authenticate = either(keys.authenticate, newBalancer(*arn, "https://public-keys.auth.elb."+*region+".amazonaws.com").authenticate)
	}
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource:     *resource,
		Issuers:      []accesstoken.Issuer{{URL: *issuer}},
		Authenticate: authenticate,
	})
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: *addr, Handler: handler(v, keys), ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// An authenticator is a Config.Authenticate.
type authenticator func(context.Context, *http.Request) (accesstoken.Identity, error)

// either asks the second authenticator if the first finds nothing that it knows. An error
// of the first refuses.
func either(first, second authenticator) authenticator {
	return func(ctx context.Context, r *http.Request) (accesstoken.Identity, error) {
		if identity, err := first(ctx, r); err != nil || identity.Issuer != "" {
			return identity, err
		}
		return second(ctx, r)
	}
}

func handler(v *accesstoken.Validator, keys keyring) http.Handler {
	mux := http.NewServeMux()
	auth := middleware.New(v, nil).Require(scopes.All("orders:read"))
	mux.Handle("GET /orders", auth.Wrap(http.HandlerFunc(orders)))
	mux.Handle("GET /chat", &chat{v, keys})
	return mux
}

// orders need not know how its caller was authenticated.
func orders(w http.ResponseWriter, r *http.Request) {
	claims, ok := accesstoken.FromContext(r.Context())
	if !ok {
		http.Error(w, "no claims", http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "orders of %s at %s\n", claims.ClientID, claims.Issuer)
}
