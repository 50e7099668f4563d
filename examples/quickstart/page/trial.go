package page

import (
	"fmt"
	"slices"
	"strings"

	"github.com/accesstoken/accesstoken/examples/quickstart/journal"
)

// A Trial is the result of an experiment, in which a request must be refused.
type Trial struct {
	Name       string // "expired"
	Title      string // "Expired token"
	How        string // what the trial does
	Why        string // why the request is refused
	Token      string
	Parts      []Part            // the calls, in order; one of them is the refusal
	Fine       []string          // the exact reasons, as the operator sees them
	Revocation *journal.Exchange // set if the client revoked the token
	Wait       string            // set if the trial cannot be repeated yet; says why
}

// A Part is one call over all transports, with its expected result.
type Part struct {
	Caption string
	Refusal bool // whether this is the refusal that the trial demonstrates
	Answers []journal.Answer
	Want    Want
}

// A Want is an expected result, for example a row of the outcome matrix.
type Want struct {
	Status    int    // net/http and Echo
	Challenge bool   // whether WWW-Authenticate is present
	Error     string // error parameter of the challenge; "" if absent
	Scope     string // scope parameter of the challenge; "" if absent
	Retry     bool   // whether Retry-After, or RetryInfo for gRPC, is present
	Code      string // gRPC
	Reason    string // gRPC: ErrorInfo.reason
}

// Deviations returns a sentence for each difference between the answers and the
// expected result.
func (p Part) Deviations() []string {
	var out []string
	expect := func(a journal.Answer, what, got, want string) {
		if got != want {
			out = append(out, fmt.Sprintf("%s over %s: %s: got %q; want %q", p.Caption, a.Carrier, what, got, want))
		}
	}
	if len(p.Answers) != 3 {
		out = append(out, fmt.Sprintf("%s: got answers over %d transports; want 3", p.Caption, len(p.Answers)))
	}
	for _, a := range p.Answers {
		if a.Carrier == "gRPC" {
			expect(a, "code", a.Code, p.Want.Code)
			expect(a, "reason", a.Reason, p.Want.Reason)
		} else {
			expect(a, "status", fmt.Sprint(a.HTTPStatus), fmt.Sprint(p.Want.Status))
		}
		expect(a, "has a challenge", fmt.Sprint(a.Challenge != ""), fmt.Sprint(p.Want.Challenge))
		expect(a, "error in the challenge", parameter(a.Challenge, "error"), p.Want.Error)
		expect(a, "scope in the challenge", parameter(a.Challenge, "scope"), p.Want.Scope)
		expect(a, "has a retry time", fmt.Sprint(a.RetryAfter != ""), fmt.Sprint(p.Want.Retry))
	}
	return out
}

// parameter returns a quoted parameter of a challenge, or "" if it is absent.
func parameter(challenge, name string) string {
	_, rest, ok := strings.Cut(" "+strings.ReplaceAll(challenge, ",", " "), " "+name+`="`)
	if !ok {
		return ""
	}
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// Status returns the status of the refusal over net/http, or 0 if the trial has none.
func (t Trial) Status() int {
	for _, p := range t.Parts {
		if p.Refusal && len(p.Answers) > 0 {
			return p.Answers[0].HTTPStatus
		}
	}
	return 0
}

// Deviations returns the deviations of all parts.
func (t Trial) Deviations() []string {
	var out []string
	for _, p := range t.Parts {
		out = append(out, p.Deviations()...)
	}
	return out
}

// Collapsed reports whether gRPC clients get a coarser reason than the operator.
func (t Trial) Collapsed() bool {
	for _, p := range t.Parts {
		for _, a := range p.Answers {
			if p.Refusal && a.Reason != "" {
				return !slices.Contains(t.Fine, a.Reason)
			}
		}
	}
	return false
}
