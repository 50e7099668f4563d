package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"

	"github.com/accesstoken/accesstoken"
)

// A balancer knows the users that an Application Load Balancer of AWS has logged in. The
// load balancer puts a JWT into the field X-Amzn-Oidc-Data. Each of its keys has an address
// of its own, at which it is in PEM.
type balancer struct {
	arn     string // which names the load balancer in the JWT's signer
	address string // of the region's keys
	client  *http.Client
	fetches *rate.Limiter

	mu   sync.Mutex
	keys map[string]*ecdsa.PublicKey // by kid
}

func newBalancer(arn, address string) *balancer {
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &balancer{
		arn: arn, address: address, keys: map[string]*ecdsa.PublicKey{},
		client:  &http.Client{Timeout: 5 * time.Second, CheckRedirect: noRedirect},
		fetches: rate.NewLimiter(rate.Every(time.Second), 5), // a kid is unverified, so clients could cause many
	}
}

// authenticate is a Config.Authenticate. The JWT is not one of RFC 7519: its parts are
// padded. iss, exp and the signer are in its header, which the signature covers as well.
func (b *balancer) authenticate(ctx context.Context, r *http.Request) (accesstoken.Identity, error) {
	lines := r.Header["X-Amzn-Oidc-Data"]
	switch {
	case len(lines) == 0:
		return accesstoken.Identity{}, nil
	case len(lines) > 1:
		return accesstoken.Identity{}, accesstoken.CredentialsAmbiguous
	}
	claims := jwt.MapClaims{}
	parser := jwt.NewParser(jwt.WithPaddingAllowed(), jwt.WithValidMethods([]string{"ES256"}))
	token, err := parser.ParseWithClaims(lines[0], claims, func(t *jwt.Token) (any, error) { return b.keyOf(ctx, t) })
	switch {
	case errors.Is(err, accesstoken.Unavailable):
		return accesstoken.Identity{}, accesstoken.Unavailable
	case err != nil:
		return accesstoken.Identity{}, accesstoken.SignatureInvalid
	}
	subject, _ := claims["sub"].(string)
	exp, ok := token.Header["exp"].(float64)
	if !ok || subject == "" {
		return accesstoken.Identity{}, accesstoken.ClaimInvalid
	}
	payload, err := parser.DecodeSegment(strings.Split(lines[0], ".")[1])
	return accesstoken.Identity{Issuer: "alb", Subject: subject, Expiry: time.Unix(int64(exp), 0), Payload: payload}, err
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// keyOf returns the key of a JWT's header. Every load balancer of the region has its keys at
// the same address, so the signer decides, and it must be ours.
func (b *balancer) keyOf(ctx context.Context, t *jwt.Token) (*ecdsa.PublicKey, error) {
	kid, _ := t.Header["kid"].(string)
	if t.Header["signer"] != b.arn || !uuid.MatchString(kid) {
		return nil, errors.New("another signer, or a kid that is not a UUID")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if key := b.keys[kid]; key != nil {
		return key, nil
	}
	if !b.fetches.Allow() {
		return nil, accesstoken.Unavailable
	}
	key, err := b.fetch(ctx, kid)
	if err == nil {
		b.keys[kid] = key // only AWS makes new ones, so the map stays small
	}
	return key, err
}

func (b *balancer) fetch(ctx context.Context, kid string) (*ecdsa.PublicKey, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.address+"/"+kid, nil)
	if err != nil {
		return nil, err
	}
	response, err := b.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", accesstoken.Unavailable, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	switch {
	case response.StatusCode >= 500 || err != nil:
		return nil, accesstoken.Unavailable
	case response.StatusCode != http.StatusOK:
		return nil, errors.New("there is no such key")
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, accesstoken.Unavailable
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	public, ok := key.(*ecdsa.PublicKey)
	if err != nil || !ok {
		return nil, accesstoken.Unavailable
	}
	return public, nil
}
