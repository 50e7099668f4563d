package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/accesstoken/accesstoken/examples/quickstart/journal"
	"github.com/accesstoken/accesstoken/examples/quickstart/page"
)

// errDeviation is the error of once if a result was not as expected. The printed
// report contains the details.
var errDeviation = errors.New("some results were not as expected; see the lines that begin with UNEXPECTED")

var titles = map[journal.Kind]string{
	journal.OAuth:       "OAuth 2.0 · photo printer · JWT access token",
	journal.OAuthOpaque: "OAuth 2.0 · album maker · opaque access token",
	journal.OIDC:        "OpenID Connect · guest book",
}

// once runs every flow and every trial without a browser and prints them. If a flow
// or trial cannot run, it returns the error at once.
func (d *demo) once(ctx context.Context, out io.Writer) error {
	failed := false
	for _, kind := range []journal.Kind{journal.OAuth, journal.OAuthOpaque, journal.OIDC} {
		flow, err := d.play(ctx, kind, asUsual)
		if err != nil {
			return fmt.Errorf("%s: %w", titles[kind], err)
		}
		printFlow(out, flow)
		if deviations := flowDeviations(flow); len(deviations) > 0 {
			printDeviations(out, deviations)
			failed = true
		}
	}
	fmt.Fprintln(out, "Refusals")
	fmt.Fprintln(out)
	for _, t := range trials {
		result, err := d.try(ctx, t.name)
		if err != nil {
			return fmt.Errorf("%s: %w", t.title, err)
		}
		printTrial(out, result)
		if deviations := result.Deviations(); len(deviations) > 0 {
			printDeviations(out, deviations)
			failed = true
		}
	}
	if lines := d.logbook.Lines(); len(lines) > 0 {
		fmt.Fprintf(out, "Log of the resource servers\n\n  %s", strings.Join(lines, "  "))
	}
	if failed {
		return errDeviation
	}
	fmt.Fprintf(out, "\nEvery result is as expected: 3 flows, %d trials, 3 transports, 1 validator.\n", len(trials))
	return nil
}

// flowDeviations returns a sentence for each difference between the flow and the
// expected one.
func flowDeviations(flow journal.Snapshot) []string {
	granted := page.Part{Caption: titles[flow.Kind], Answers: flow.Answers, Want: passes}
	out := granted.Deviations()
	for i, step := range flow.Steps {
		if len(step.Exchanges) == 0 {
			out = append(out, fmt.Sprintf("%s: got no requests in step %d, %q; want at least one", titles[flow.Kind], i+1, step.Name))
		}
	}
	if readable := journal.Decode(flow.AccessToken).Readable(); readable == (flow.Kind == journal.OAuthOpaque) {
		out = append(out, fmt.Sprintf("%s: access token is a JWT: got %t; want %t", titles[flow.Kind], readable, !readable))
	}
	return out
}

func printFlow(out io.Writer, flow journal.Snapshot) {
	fmt.Fprintf(out, "%s\n\n", titles[flow.Kind])
	for i, step := range flow.Steps {
		fmt.Fprintf(out, "  %d %-40s %s → %s\n", i+1, step.Name, step.From, step.To)
		for _, e := range step.Exchanges {
			if e.Method != "" {
				printExchange(out, e)
			}
		}
		if step.Name == "returns access token" || step.Name == "returns ID token" {
			printTokens(out, flow)
		}
	}
	if len(flow.Answers) > 0 && flow.Answers[0].OK() {
		fmt.Fprintf(out, "      files: %s\n", strings.Join(flow.Answers[0].Files, ", "))
	}
	if flow.Err != nil {
		fmt.Fprintf(out, "    The client gave up: %v.\n", flow.Err)
	}
	fmt.Fprintln(out)
}

// printTokens prints a summary of each token.
func printTokens(out io.Writer, flow journal.Snapshot) {
	if flow.IDToken != "" {
		fmt.Fprintf(out, "      ID token: %s\n", journal.Decode(flow.IDToken).Summary())
	}
	if flow.AccessToken != "" {
		fmt.Fprintf(out, "      access token: %s\n", journal.Decode(flow.AccessToken).Summary())
	}
}

// printExchange prints one line. The page shows the details.
func printExchange(out io.Writer, e journal.Exchange) {
	line := e.Method + " " + e.Path() + parameters(e)
	if e.Status != "" {
		line += " → " + e.Status
	}
	if e.Carrier != "" {
		line = fmt.Sprintf("%-9s %s", e.Carrier, line)
	}
	fmt.Fprintf(out, "      %s\n", line)
}

// shortlist are the parameters that are printed. A line has no room for the others.
var shortlist = map[string]bool{
	"scope": true, "resource": true, "code_challenge_method": true, "grant_type": true, "iss": true, "decision": true, "username": true,
}

func parameters(e journal.Exchange) string {
	var shown []string
	more := false
	for _, f := range e.Params {
		if shortlist[f.Name] {
			shown = append(shown, f.Name+"="+f.Value)
		} else {
			more = true
		}
	}
	if more && len(shown) > 0 {
		shown = append(shown, "…")
	}
	if len(shown) == 0 {
		return ""
	}
	return "  " + strings.Join(shown, " ")
}

func printTrial(out io.Writer, t page.Trial) {
	fmt.Fprintf(out, "  %s\n", t.Title)
	if t.Wait != "" {
		fmt.Fprintf(out, "      %s\n\n", t.Wait)
		return
	}
	for _, part := range t.Parts {
		if part.Refusal {
			printAnswers(out, part.Answers, t.Fine)
		} else {
			fmt.Fprintf(out, "      (%s: %s)\n", lowerFirst(part.Caption), summary(part.Answers))
		}
	}
	fmt.Fprintln(out)
}

// printAnswers prints a line for each transport. If the answers of net/http and Echo
// are equal, they share one line.
func printAnswers(out io.Writer, answers []journal.Answer, fine []string) {
	for i, a := range answers {
		switch {
		case a.Carrier == "gRPC":
			fmt.Fprintf(out, "      %-15s %s%s\n", a.Carrier, strings.TrimSpace(a.Code+" "+a.Reason+retry(a)), operator(a, fine))
		case i+1 < len(answers) && answer(a) == answer(answers[i+1]):
			// the next one prints both
		case i > 0 && answer(a) == answer(answers[i-1]):
			fmt.Fprintf(out, "      %-15s %s\n", answers[i-1].Carrier+", "+a.Carrier, answer(a))
		default:
			fmt.Fprintf(out, "      %-15s %s\n", a.Carrier, answer(a))
		}
	}
}

// operator returns the reason that the operator sees, if the client got a coarser one.
func operator(a journal.Answer, fine []string) string {
	if len(fine) == 0 || slices.Contains(fine, a.Reason) {
		return ""
	}
	return "  (the operator sees " + strings.Join(fine, ", ") + ")"
}

func answer(a journal.Answer) string {
	text := a.Exchange.Status
	switch {
	case a.Challenge != "":
		text += "  " + a.Challenge
	case !a.OK():
		text += "  no challenge"
	}
	return text + retry(a)
}

func retry(a journal.Answer) string {
	if a.RetryAfter == "" {
		return ""
	}
	return "  retry after " + a.RetryAfter
}

func summary(answers []journal.Answer) string {
	var parts []string
	for _, a := range answers {
		parts = append(parts, a.Carrier+" "+a.Exchange.Status)
	}
	return strings.Join(parts, ", ")
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }

func printTried(out io.Writer, t page.Trial, err error) {
	if err != nil {
		fmt.Fprintf(out, "  The trial %q failed: %v.\n\n", t.Title, err)
		return
	}
	printTrial(out, t)
}

func printDeviations(out io.Writer, deviations []string) {
	for _, d := range deviations {
		fmt.Fprintf(out, "  UNEXPECTED  %s\n", d)
	}
	fmt.Fprintln(out)
}
