// Command payments runs a bank whose customers authorize each payment in detail (RFC 9396): how much, and to whom. Its
// client knows nothing of that. It requests what the bank's challenges say, by draft-ietf-oauth-rar-metadata-remediation-00.
// The tokens are JWTs, and opaque ones whose details are in the introspection answer. The authorization server is the one
// of accesstokentest.
//
//	go run ./payments -once   # prints the result of each request and exits
//	go run ./payments         # also keeps serving and prints a token, so that you can try other payments
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8090", "address to listen on")
	once := flag.Bool("once", false, "use a free port and exit after the requests, with status 0 only if every result was as expected")
	flag.Parse()
	if *once {
		*addr = "127.0.0.1:0"
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *addr, *once); err != nil {
		fmt.Fprintln(os.Stderr, "payments:", err)
		os.Exit(1)
	}
}

// run starts the bank and sends the client's orders. If once is false, it then keeps
// serving until ctx ends.
func run(ctx context.Context, out io.Writer, addr string, once bool) error {
	as, err := accesstokentest.Start()
	if err != nil {
		return err
	}
	defer as.Close()
	v, err := newValidator(as)
	if err != nil {
		return err
	}
	defer v.Close()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	server := newServer(v)
	defer server.Close()
	go server.Serve(l)

	url := "http://" + l.Addr().String() + "/payments"
	if err := orderAll(ctx, out, as, url); err != nil || once {
		return err
	}
	fmt.Fprintf(out, "\nThis token is good for one order, and for no other:\n\n  curl -i -H 'Authorization: Bearer %s' -d '%s' %s\n\nPress Ctrl-C to stop.\n",
		as.Token(accesstokentest.Claims{"authorization_details": []any{rent.detail()}}), encode(rent), url)
	<-ctx.Done()
	return nil
}

// newValidator makes a Validator for JWTs and opaque tokens, which knows payments.
func newValidator(as *accesstokentest.Server) (*accesstoken.Validator, error) {
	introspect, err := introspection.NewClient(introspection.Config{
		Endpoint: as.IntrospectionEndpoint(), ClientID: accesstokentest.ClientID, ClientSecret: accesstokentest.ClientSecret, HTTPClient: as.Client(),
	})
	if err != nil {
		return nil, err
	}
	return accesstoken.NewValidator(accesstoken.Config{
		Resource:                    "https://api.example.com",
		Issuers:                     []accesstoken.Issuer{{URL: as.URL, Introspection: introspect}},
		DetailTypes:                 map[string]accesstoken.DetailType{paymentType: {}},
		DraftRARMetadataRemediation: true,
		HTTPClient:                  as.Client(),
	})
}

func newServer(v *accesstoken.Validator) *http.Server {
	auth := middleware.New(v, nil)
	initiate := accesstoken.Policy{
		Scopes:  scopes.None(),
		Details: []accesstoken.DetailRequirement{{Type: paymentType, Actions: []string{"initiate"}}},
	}
	mux := http.NewServeMux()
	mux.Handle("POST /payments", auth.RequirePolicy(initiate).WrapFunc(func(w http.ResponseWriter, r *http.Request) { pay(auth, w, r) }))
	return &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute,
	}
}

const paymentType = "payment_initiation"

// An order is a payment, in a request and in authorization_details.
type order struct {
	Amount   string `json:"amount"` // as text, because a float64 would round it
	Currency string `json:"currency"`
	Creditor string `json:"creditor"`
}

// detail returns the object of authorization_details that allows the order.
func (o order) detail() any {
	return map[string]any{"type": paymentType, "actions": []string{"initiate"}, "payment": o}
}

// pay is the handler. The policy has seen that the token may initiate payments, and only the
// handler knows whether it may initiate this one.
func pay(auth *middleware.Middleware, w http.ResponseWriter, r *http.Request) {
	var ordered order
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10)).Decode(&ordered); err != nil || ordered.Amount == "" {
		http.Error(w, "the body is not an order", http.StatusBadRequest)
		return
	}
	claims, ok := accesstoken.FromContext(r.Context())
	if !ok { // the route is not behind Wrap
		http.Error(w, "no claims", http.StatusInternalServerError)
		return
	}
	switch allowed, err := allows(claims, ordered); {
	case err != nil:
		auth.Refuse(w, r, accesstoken.ClaimInvalid)
	case !allowed:
		auth.Refuse(w, r, accesstoken.DetailsInsufficient(ordered.detail()))
	default:
		// A token is good until it expires. If each may pay only once, store claims.Issuer and claims.ID with the
		// payment, in one transaction, and refuse a token that is there already with accesstoken.TokenInactive.
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, "%s pays %s %s to %s\n", claims.Subject, ordered.Amount, ordered.Currency, ordered.Creditor)
	}
}

// allows reports whether one object of the token allows the whole order.
func allows(claims accesstoken.Claims, ordered order) (bool, error) {
	details, err := claims.AuthorizationDetails()
	for _, detail := range details {
		if detail.Type != paymentType || !slices.Contains(detail.Actions, "initiate") {
			continue
		}
		var granted struct {
			Payment order `json:"payment"`
		}
		if err := detail.Decode(&granted); err != nil {
			return false, err
		}
		if granted.Payment == ordered {
			return true, nil
		}
	}
	return false, err
}
