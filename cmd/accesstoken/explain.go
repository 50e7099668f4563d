package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/scopes"
)

// The exit statuses of explain.
const (
	passes      = 0
	badToken    = 1
	badPolicy   = 2
	cannotTell  = 3
	badSettings = 4
)

// A question is what explain was asked.
type question struct {
	settings           settings
	config, token      string
	scope, at          string
	online, showClaims bool

	// The single issuer, if there is no config.
	issuer, profile, audience, algorithms, clients, jwks string
}

// explain is the command of that name. It returns the exit status.
func explain(args []string, in io.Reader, out, complaints io.Writer) int {
	q, err := parseQuestion(args, complaints)
	if errors.Is(err, flag.ErrHelp) {
		return passes
	}
	if err == nil {
		var text string
		var status int
		if text, status, err = q.answer(in, complaints); err == nil {
			if _, err = io.WriteString(out, text); err == nil {
				return status
			}
		}
	}
	fmt.Fprintf(complaints, "accesstoken: %v\n", err)
	return badSettings
}

func parseQuestion(args []string, complaints io.Writer) (*question, error) {
	q := new(question)
	flags := flag.NewFlagSet("accesstoken explain", flag.ContinueOnError)
	flags.SetOutput(complaints)
	flags.Usage = func() {
		fmt.Fprint(complaints, "usage: accesstoken explain [flags] < token.txt\n\nIt says what a Validator would decide about the token, and why. The exit status is 0 if the\ntoken would pass, 1 if it is bad, 2 if it lacks a right, 3 if that cannot be found out, and 4\nif the settings are wrong.\n\n")
		flags.PrintDefaults()
	}
	flags.StringVar(&q.config, "config", "", "a JSON `file` with the resource and its issuers; see docs/explain.md")
	flags.StringVar(&q.settings.Resource, "resource", "", "the resource server, which is the accepted audience")
	flags.StringVar(&q.issuer, "issuer", "", "the `URL` of the issuer, if there is no -config")
	flags.StringVar(&q.profile, "profile", "", "the issuer's profile, such as Keycloak")
	flags.StringVar(&q.audience, "audience", "", "the accepted audiences, separated by spaces, in place of -resource")
	flags.StringVar(&q.algorithms, "algorithms", "", "the issuer's Algorithms, separated by spaces")
	flags.StringVar(&q.clients, "clients", "", "the issuer's Clients, separated by spaces")
	flags.StringVar(&q.jwks, "jwks", "", "a `file` with the issuer's key set, which is used in place of a fetch")
	flags.StringVar(&q.token, "token", "", "a `file` with the token, in place of standard input")
	flags.StringVar(&q.scope, "scope", "", "the scopes that the route demands, separated by spaces")
	flags.StringVar(&q.at, "at", "", "the `time` at which to decide, such as 2026-01-31T12:00:00Z")
	flags.BoolVar(&q.online, "online", false, "fetch metadata and keys, and introspect, over the network")
	flags.BoolVar(&q.showClaims, "show-claims", false, "print the claims of the token as well, verified or not")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, errors.New("expected flags only; the token is read from standard input or a file, because arguments stay in the history of the shell")
	}
	return q, nil
}

// answer returns the text of the explanation, and the exit status.
func (q *question) answer(in io.Reader, complaints io.Writer) (string, int, error) {
	config, err := q.validatorConfig(complaints)
	if err != nil {
		return "", 0, err
	}
	v, err := accesstoken.NewValidator(config)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = v.Close() }() // the program ends anyway
	token, err := q.read(in)
	if err != nil {
		return "", 0, err
	}
	policy := accesstoken.Policy{Scopes: scopes.None()}
	if names := strings.Fields(q.scope); len(names) > 0 {
		policy.Scopes = scopes.All(names...)
	}
	if err := v.PolicyErr(policy); err != nil {
		return "", 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	e := v.Explain(ctx, accesstoken.Bearer(token), policy)
	text := e.String()
	if e.Err != nil {
		answers, err := responses(v, e.Err)
		if err != nil {
			return "", 0, err
		}
		text += answers
	}
	if q.showClaims {
		text += claimsOf(token)
	}
	return text, statusOf(e.Err), nil
}

// read returns the token.
func (q *question) read(in io.Reader) (string, error) {
	if q.token == "" {
		return read(in)
	}
	file, err := os.Open(q.token)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // it was only read
	return read(file)
}

// statusOf returns the exit status for a refusal.
func statusOf(refused *accesstoken.Error) int {
	if refused == nil {
		return passes
	}
	switch refused.HTTPStatus() {
	case http.StatusForbidden:
		return badPolicy
	case http.StatusServiceUnavailable:
		return cannotTell
	case http.StatusInternalServerError:
		return badSettings
	}
	if errors.Is(refused, accesstoken.StepUpRequired) {
		return badPolicy
	}
	return badToken
}

// claimsOf prints the claims, a line each.
func claimsOf(token string) string {
	parsed, err := jose.Parse(token)
	if err != nil {
		return "\nThe claims cannot be read.\n"
	}
	var text strings.Builder
	text.WriteString("\nClaims:\n")
	err = jose.Object(parsed.Payload, func(name, value string) error {
		_, err := fmt.Fprintf(&text, "  %q: %s\n", name, printable(value))
		return err
	})
	if err != nil {
		return "\nThe claims cannot be read.\n"
	}
	return text.String()
}

// printable returns JSON without control characters, which only white space can have.
func printable(value string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return ' '
		}
		return r
	}, value)
}

// validatorConfig returns the Config that the flags and the file describe.
func (q *question) validatorConfig(complaints io.Writer) (accesstoken.Config, error) {
	if err := q.load(); err != nil {
		return accesstoken.Config{}, err
	}
	config, err := q.settings.config(q.online)
	if err != nil {
		return config, err
	}
	config.Logger = slog.New(slog.DiscardHandler)
	if q.at != "" {
		at, err := time.Parse(time.RFC3339, q.at)
		if err != nil {
			return config, fmt.Errorf("-at is %q; expected a time such as 2026-01-31T12:00:00Z", q.at)
		}
		config.Now = func() time.Time { return at }
	}
	if q.online {
		for _, i := range q.settings.Issuers {
			if place := i.fetched(); place != "" {
				fmt.Fprintf(complaints, "accesstoken: -online: may fetch %s\n", place)
			}
		}
	}
	return config, nil
}

// load reads the file of -config, or makes its content of the other flags.
func (q *question) load() error {
	single := map[string]string{"-issuer": q.issuer, "-profile": q.profile, "-algorithms": q.algorithms, "-clients": q.clients, "-jwks": q.jwks}
	if q.config != "" {
		for name, value := range single {
			if value != "" && name != "-jwks" {
				return fmt.Errorf("%s and -config exclude each other; write it into the file", name)
			}
		}
		resource := q.settings.Resource
		if err := q.settings.read(q.config); err != nil {
			return err
		}
		if resource != "" {
			q.settings.Resource = resource
		}
		if q.jwks != "" {
			if len(q.settings.Issuers) != 1 {
				return errors.New("-jwks is for one issuer, and the file of -config has several; set jwks_file of each issuer there")
			}
			q.settings.Issuers[0].JWKSFile = q.jwks
		}
		return nil
	}
	if q.issuer == "" || q.settings.Resource == "" && q.audience == "" {
		return errors.New("expected -config, or -issuer and -resource; for example: accesstoken explain -issuer https://login.example.com -resource https://api.example.com -jwks keys.json < token.txt")
	}
	q.settings.Audience = words(q.audience)
	if q.settings.Resource == "" {
		q.settings.Resource = q.settings.Audience[0]
	}
	q.settings.Issuers = []issuerSettings{{
		URL: q.issuer, Profile: q.profile, Algorithms: words(q.algorithms), Clients: words(q.clients), JWKSFile: q.jwks,
	}}
	return nil
}

// words splits a flag at spaces. It returns nil if there are none.
func words(text string) []string {
	if fields := strings.Fields(text); len(fields) > 0 {
		return fields
	}
	return nil
}
