package accesstoken

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/jwks"
)

// An issuer is an [Issuer] at work. It shares nothing with another one.
type issuer struct {
	url           string
	rules         rules
	algorithms    []string
	audience      []string
	clients       []string
	noAudience    bool
	keys          KeySource
	owned         *jwks.Cache // the same, when it was made here
	introspection *introspection.Client
	prefix        string

	alwaysIntrospect bool
	warnings         warnings
}

func newIssuer(config Config, settings Issuer, logger *slog.Logger) (*issuer, error) {
	i := &issuer{
		url:           settings.URL,
		rules:         settings.rules(),
		algorithms:    slices.Clone(settings.Algorithms),
		audience:      firstSet(settings.Audience, config.Audience, []string{config.Resource}),
		clients:       slices.Clone(settings.Clients),
		noAudience:    settings.DangerouslyAcceptNoAudience,
		keys:          settings.Keys,
		introspection: settings.Introspection,
		prefix:        settings.TokenPrefix,

		alwaysIntrospect: settings.AlwaysIntrospect,
		warnings:         warnings{logger: logger, issuer: settings.URL},
	}
	if i.algorithms == nil {
		i.algorithms = jose.DefaultAlgorithms()
	}
	if i.keys != nil {
		return i, nil
	}
	cache, err := jwks.NewCache(jwks.Config{
		URL:                  settings.JWKSURI,
		Issuer:               settings.URL,
		MetadataURL:          settings.MetadataURL,
		HTTPClient:           config.HTTPClient,
		PublicAddressesOnly:  config.PublicAddressesOnly,
		Logger:               logger,
		DangerouslyAllowHTTP: settings.DangerouslyAllowHTTP,
	})
	if err != nil {
		return nil, err
	}
	i.keys, i.owned = cache, cache
	return i, nil
}

func firstSet(lists ...[]string) []string {
	for _, list := range lists {
		if list != nil {
			return slices.Clone(list)
		}
	}
	return nil
}

// acceptAudience compares exactly (RFC 7519 §4.1.3): no prefix, no case, no
// trailing slash is made up for.
func (i *issuer) acceptAudience(audience []string) error {
	if len(audience) == 0 && i.noAudience {
		return nil
	}
	for _, named := range audience {
		if slices.Contains(i.audience, named) {
			return nil
		}
	}
	refused := refusal(AudienceMismatch, "the token is not for "+quoted(i.audience))
	i.warnings.give(refused, func() (cause, advice string) {
		return "aud is " + quoted(audience) + ", accepted is " + quoted(i.audience),
			"have the client ask the issuer for tokens with our audience, or set Audience"
	})
	return refused
}

// acceptClient demands one of the listed clients, where there is a list.
func (i *issuer) acceptClient(id string) error {
	if i.clients == nil || slices.Contains(i.clients, id) {
		return nil
	}
	refused := refusal(ClaimInvalid, "the client is not among Clients")
	i.warnings.give(refused, func() (cause, advice string) {
		return refused.detail, "if the client may call this resource server, add it to Clients"
	})
	return refused
}

// warm fetches the keys. An issuer that can be asked about its tokens need not
// publish any.
func (i *issuer) warm(ctx context.Context) error {
	source, ok := i.keys.(interface{ Warm(context.Context) error })
	if !ok {
		return nil
	}
	if err := source.Warm(ctx); err != nil && (i.needsKeys() || ctx.Err() != nil) {
		return err
	}
	return nil
}

// needsKeys is false for an issuer that can be asked about its tokens.
func (i *issuer) needsKeys() bool { return i.introspection == nil || i.alwaysIntrospect }

func (i *issuer) ready() error {
	source, ok := i.keys.(interface{ Ready() error })
	if !ok || !i.needsKeys() {
		return nil
	}
	return source.Ready()
}

func (i *issuer) close() error {
	if i.owned == nil {
		return nil
	}
	return i.owned.Close()
}

// acceptJWT judges a verified token by the profile, and tells the operator what
// to set when the issuer is of another kind than configured.
func (i *issuer) acceptJWT(header jose.Header, claims jose.Claims) error {
	err := i.rules.accepts(header, claims)
	if err == nil {
		return i.acceptClient(claims.ClientID)
	}
	if err.advice != "" {
		i.warnings.give(err, func() (cause, advice string) {
			return fmt.Sprintf("%s; the header's typ is %s", err.detail, describeType(header)), err.advice
		})
	}
	return err
}

func describeType(header jose.Header) string {
	if !header.HasType {
		return "absent"
	}
	return quoted([]string{header.Type})
}

// quoted prints a list for a log line: quoting takes the edge off what is in it.
func quoted(list []string) string {
	const most = 5
	if len(list) == 0 {
		return "absent"
	}
	words := make([]string, 0, most)
	for _, word := range list[:min(len(list), most)] {
		if len(word) > 200 {
			word = word[:200] + "…"
		}
		words = append(words, fmt.Sprintf("%q", word))
	}
	return strings.Join(words, ", ")
}
