package accesstoken

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/accesstoken/accesstoken/internal/dryrun"
	"github.com/accesstoken/accesstoken/internal/tokencache"
)

// An Explanation is what [Validator.Authorize] would decide, and why. Its text is for the
// operator: it quotes what the checks compared, also of a token that is not verified.
type Explanation struct {
	_ [0]func()

	// Checks are the checks that ran, in their order. If the request is refused, the last of
	// them refused it. With AlwaysIntrospect some run twice: by the JWT alone, and by the JWT
	// and the answer.
	Checks []ExplainedCheck

	// Claims are those of the caller, if the token is good for this resource server. If Err is
	// set, they are no authentication. Check refuses them.
	Claims Claims

	// Err is nil if the request would pass, and otherwise the refusal.
	Err *Error

	// Advice says what to set if the token should pass, as the log would: each with its cause.
	Advice []string
}

// An ExplainedCheck is one check of an [Explanation].
type ExplainedCheck struct {
	Name     string // such as "audience"
	Found    string // in the request
	Expected string // by the configuration
	OK       bool   // false for the check that refused the request
}

// Explain returns what [Validator.Authorize] would decide now, and why. The same code decides.
// It leaves no trace: no hook is told, nothing is logged, cached or counted, no proof is used
// up, and no fetch comes off a budget. What is not in memory is asked for once more with each
// call: keys that Authorize would fetch, introspection answers, and ResolveIssuer. Accept and
// Authenticate are called too. A DPoP proof that another Store than a [dpop.Memory] has seen
// counts as new.
//
// Explain is for operators. Whoever may call it can have the issuers asked, and learns which
// check refused a token, which Authorize does not tell clients.
func (v *Validator) Explain(ctx context.Context, credentials Credentials, policy Policy) Explanation {
	ctx, cancel := context.WithCancel(dryrun.Context(ctx))
	defer cancel()
	heard := new(listener)
	explained := v.rehearse(slog.New(heard))
	claims, refused := explained.decide(ctx, credentials, &policy, new(course))
	if refused != nil {
		claims.adviseOn(refused)
		if refused.advice != "" && len(heard.advice) == 0 {
			heard.advice = append(heard.advice, refused.advice)
		}
	}
	e := Explanation{Claims: claims, Err: refused, Advice: heard.advice}
	reading := explained.read(credentials, &policy)
	for n, at := range explained.trail.steps {
		found, expected := reading.of(at)
		e.Checks = append(e.Checks, ExplainedCheck{checkNames[at.check], found, expected, refused == nil || n < len(explained.trail.steps)-1})
	}
	return e
}

// rehearse returns a Validator that decides as v does, with a trail, and that leaves no trace
// in v. logger gets its warnings.
func (v *Validator) rehearse(logger *slog.Logger) *Validator {
	copied := &Validator{self: v.self, face: v.face, fixed: v.fixed, aims: v.aims, trail: new(trail)}
	if v.family == nil {
		return copied
	}
	f := &family{
		original: v.original, resolver: v.resolver, config: v.config, implied: v.implied, leeway: v.leeway, maxToken: v.maxToken,
		tooLarge: v.tooLarge, now: v.now, logger: logger, proxies: v.proxies, constrained: v.constrained,
		cache: tokencache.New(0), shared: newShared(), warnings: warnings{logger: logger},
	}
	f.roster.Store(v.roster.Load())
	f.ended.Store(v.ended.Load())
	copied.family = f
	return copied
}

// follow notes the issuer of a token. If the decision is explained, it returns a copy of the
// issuer that notes its checks, and whose warnings are heard by nobody else.
func (v *Validator) follow(i *issuer) *issuer {
	if v.trail == nil {
		return i
	}
	copied := &issuer{
		owner: v.family, by: i.by, url: i.url, aliases: i.aliases, tenants: i.tenants, rules: i.rules, demands: i.demands,
		algorithms: i.algorithms, keys: i.keys, leeway: i.leeway, hierarchy: i.hierarchy, answer: i.answer, trail: v.trail,
		warnings: warnings{logger: v.logger, issuer: i.url},
	}
	copied.gone, copied.remove = context.WithCancel(i.gone)
	copied.verified.Store(i.verified.Load())
	copied.current.Store(i.settings())
	v.trail.issuer = copied
	return copied
}

// String writes the checks, one to a line, and then the refusal, the response that a client
// would get, and advice. It has no claims but those that were compared.
func (e Explanation) String() string {
	var text strings.Builder
	for _, c := range e.Checks {
		mark := "ok  "
		if !c.OK {
			mark = "FAIL"
		}
		fmt.Fprintf(&text, "%s  %-13s  %s\n", mark, c.Name, c.Found)
		if c.Expected != "" {
			fmt.Fprintf(&text, "%20s expected %s\n", "", c.Expected)
		}
	}
	if e.Err == nil {
		return text.String() + "\nThe request would pass.\n"
	}
	fmt.Fprintf(&text, "\nThe request would be refused: %s\n%v\n", e.Err.Reason, e.Err)
	for _, advice := range e.Advice {
		fmt.Fprintf(&text, "Advice: %s.\n", strings.TrimSuffix(advice, "."))
	}
	return text.String()
}

// A listener is a slog.Handler that keeps the advice of the warnings.
type listener struct{ advice []string }

func (l *listener) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }
func (l *listener) WithAttrs([]slog.Attr) slog.Handler               { return l }
func (l *listener) WithGroup(string) slog.Handler                    { return l }

func (l *listener) Handle(_ context.Context, r slog.Record) error {
	var cause, advice string
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "cause":
			cause = a.Value.String()
		case "advice":
			advice = a.Value.String()
		}
		return true
	})
	if text := cause + ": " + advice; advice != "" && !slices.Contains(l.advice, text) {
		l.advice = append(l.advice, text)
	}
	return nil
}
