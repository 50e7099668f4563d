package differential_test

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Texts of examples have three short cuts: <good> for the members of a good header
// or payload, <good but exp> for all of them but one, and <16*[> for 16 brackets,
// in which # counts.
var (
	good     = regexp.MustCompile(`<good(?: but ([a-z_]+))?>`)
	repeated = regexp.MustCompile(`<(\d+)\*([^>]*)>`)
)

// expand writes out the text of an example; empty is the good document.
func expand(text string, document object) string {
	if text == "" {
		text = "{<good>}"
	}
	text = good.ReplaceAllStringFunc(text, func(match string) string {
		rest := slices.Clone(document)
		rest.remove(quote(good.FindStringSubmatch(match)[1]))
		return strings.Trim(rest.String(), "{}")
	})
	text = repeated.ReplaceAllStringFunc(text, func(match string) string {
		found := repeated.FindStringSubmatch(match)
		count, _ := strconv.Atoi(found[1]) // digits
		var out strings.Builder
		for i := range count {
			out.WriteString(strings.ReplaceAll(found[2], "#", strconv.Itoa(i)))
		}
		return out.String()
	})
	return strings.ReplaceAll(text, "<xff>", "\xff")
}

// token makes the example. What its header says chooses algorithm and key.
func (e example) token(w *world) string {
	d := w.newDraft(mustAlgorithm("ES256"))
	header, payload := expand(e.Header, d.header), expand(e.Payload, d.payload)
	if e.Payload == "<nested>" {
		payload = d.token()
	}
	said := &input{header: readDocument(header)}
	if a, ok := algorithmNamed(said.alg()); ok {
		d.signAs(w, a)
	}
	if key := w.keys[said.kid()]; key != nil {
		d.key = key
	}
	d.salt = cmp.Or(e.Salt, d.salt)
	d.texts = [2]changes[string]{{func(string) string { return header }}, {func(string) string { return payload }}}
	return e.fill(d.token())
}

func mustAlgorithm(name string) algorithm {
	a, ok := algorithmNamed(name)
	if !ok {
		panic("no algorithm " + name)
	}
	return a
}

// fill puts the parts into the example's own form.
func (e example) fill(token string) string {
	if e.Token == "" {
		return token
	}
	parts := strings.Split(token, ".")
	return strings.NewReplacer("{header}", parts[0], "{payload}", parts[1], "{signature}", parts[2], "{signature+1}", spareBits(parts[2])).Replace(e.Token)
}

// Every class has an example that shows it: the same verdicts, from the same
// judges.
func TestEveryExplanationHasItsExample(t *testing.T) {
	w := theWorld()
	for _, c := range mustClasses(t) {
		token := c.Example.token(w)
		in := newInput(token)
		us := w.ours[0]
		if in.strict = c.Example.Profile == "RFC9068"; in.strict {
			us = w.ours[1]
		}
		if !c.holds(in) {
			t.Errorf("%s: the example has not the property %q\n%s", c.Name, c.When, show(token))
		}
		if _, err := us.ask(token); c.refuses() != (err != nil) || err != nil && !c.says(err) {
			t.Errorf("%s: got %v; want %q\n%s", c.Name, err, c.WeSay, show(token))
		}
		wantPeers(t, w, c, token)
	}
}

// wantPeers fails the test unless those accept who are said to, and the others
// refuse for the reason that is given.
func wantPeers(t *testing.T, w *world, c class, token string) {
	t.Helper()
	for _, peer := range w.peers {
		_, err := peer.ask(token)
		piece, refuses := c.RefusedBy[peer.name]
		switch accepts := !c.refuses() && !refuses || slices.Contains(c.AcceptedBy, peer.name); {
		case accepts != (err == nil):
			t.Errorf("%s: got %v from %s; want it to accept: %v\n%s", c.Name, err, peer.name, accepts, show(token))
		case refuses && !strings.Contains(err.Error(), piece):
			t.Errorf("%s: got %v from %s; want %q", c.Name, err, peer.name, piece)
		}
	}
}
