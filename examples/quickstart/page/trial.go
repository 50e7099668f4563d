package page

import (
	"fmt"
	"slices"
	"strings"

	"github.com/accesstoken/accesstoken/examples/quickstart/journal"
)

// A Trial is an experiment with a token that must not pass, or not yet, or not
// for this.
type Trial struct {
	Name       string // "expired"
	Title      string // "Expired token"
	How        string // how it was brought about, honestly
	Why        string // one sentence on the refusal
	Token      string
	Parts      []Part            // what was tried, in order; the refusal is the last but for the epilogue
	Fine       []string          // the reasons that only the operator sees
	Revocation *journal.Exchange // set when the client revoked the token
	Wait       string            // set when the experiment must not be repeated yet; says why
}

// A Part is one call over all carriers and what should come of it.
type Part struct {
	Caption string
	Refusal bool // the one the trial is about
	Answers []journal.Answer
	Want    Want
}

// A Want is a row of the outcome matrix.
type Want struct {
	Status    int    // net/http and Echo
	Challenge bool   // whether there is a WWW-Authenticate
	Error     string // its error parameter; "" is none
	Scope     string // its scope parameter
	Retry     bool   // whether Retry-After is there
	Code      string // gRPC
	Reason    string // gRPC: ErrorInfo.reason
}

// Deviations says how a part differs from what it should be, if it does.
func (p Part) Deviations() []string {
	var out []string
	expect := func(a journal.Answer, what, got, want string) {
		if got != want {
			out = append(out, fmt.Sprintf("%s over %s: expected %s %q, got %q", p.Caption, a.Carrier, what, want, got))
		}
	}
	if len(p.Answers) != 3 {
		out = append(out, fmt.Sprintf("%s: expected answers from 3 carriers, got %d", p.Caption, len(p.Answers)))
	}
	for _, a := range p.Answers {
		if a.Carrier == "gRPC" {
			expect(a, "the code", a.Code, p.Want.Code)
			expect(a, "the reason", a.Reason, p.Want.Reason)
		} else {
			expect(a, "the status", fmt.Sprint(a.HTTPStatus), fmt.Sprint(p.Want.Status))
		}
		expect(a, "a challenge", fmt.Sprint(a.Challenge != ""), fmt.Sprint(p.Want.Challenge))
		expect(a, "the challenge's error", parameter(a.Challenge, "error"), p.Want.Error)
		expect(a, "the challenge's scope", parameter(a.Challenge, "scope"), p.Want.Scope)
		expect(a, "a time to retry after", fmt.Sprint(a.RetryAfter != ""), fmt.Sprint(p.Want.Retry))
	}
	return out
}

// parameter finds a quoted parameter of a challenge, or "".
func parameter(challenge, name string) string {
	_, rest, ok := strings.Cut(" "+strings.ReplaceAll(challenge, ",", " "), " "+name+`="`)
	if !ok {
		return ""
	}
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// Status is the net/http status of the refusal.
func (t Trial) Status() int {
	for _, p := range t.Parts {
		if p.Refusal && len(p.Answers) > 0 {
			return p.Answers[0].HTTPStatus
		}
	}
	return 0
}

// Deviations collects those of all parts.
func (t Trial) Deviations() []string {
	var out []string
	for _, p := range t.Parts {
		out = append(out, p.Deviations()...)
	}
	return out
}

// Collapsed says whether the wire has a coarser reason than the operator.
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
