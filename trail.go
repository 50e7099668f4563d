package accesstoken

// A check is one of those that decide, by its number in the list of the package's
// documentation.
type check int

const (
	checkCredentials check = iota + 1
	checkSize
	checkHeader
	checkPayload
	checkIssuer
	checkKey
	checkSignature
	checkKind
	checkLists
	checkClock
	checkPublished // for cached tokens only
	checkScheme
	checkAudience
	checkAnswer
	checkSender
	checkAccept
	checkPolicy
)

// checkNames are what [ExplainedCheck.Name] can be.
var checkNames = [...]string{
	checkCredentials: "credentials", checkSize: "size", checkHeader: "header", checkPayload: "payload", checkIssuer: "issuer",
	checkKey: "key", checkSignature: "signature", checkKind: "kind", checkLists: "lists", checkClock: "clock",
	checkPublished: "published key", checkScheme: "scheme", checkAudience: "audience", checkAnswer: "introspection",
	checkSender: "sender", checkAccept: "Accept", checkPolicy: "policy",
}

// A trail is the way of one decision through the checks, for [Validator.Explain]. A nil
// *trail notes nothing.
type trail struct {
	steps  []step
	issuer any // the *issuer whose token it is, once that is known
	facts  any // the *facts of the token, once they are known
}

// A step is a check that began, and the facts that were known then.
type step struct {
	check check
	facts any
}

// reach notes that a check begins. Every check before it has passed.
func (t *trail) reach(c check) {
	if t != nil {
		t.note(c)
	}
}

// note is a function of its own so that the compiler can inline reach. Without a trail,
// reach then costs one comparison.
//
//go:noinline
func (t *trail) note(c check) { t.steps = append(t.steps, step{c, t.facts}) }

// learn notes what was read from the token, or from the token and the answer about it.
func (t *trail) learn(facts any) {
	if t != nil {
		t.facts = facts
	}
}
