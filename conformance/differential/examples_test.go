package differential_test

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Texts of examples have three abbreviations: <good> for the members of a good header
// or payload, <good but exp> for all of them except one, and <16*[> for 16 brackets. In
// a repeated text, # is the number of the repetition.
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

// token makes the example. Its header determines algorithm and key.
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
		for _, e := range c.examples() {
			wantShown(t, w, c, e)
		}
	}
}

// wantShown fails the test unless the example shows its class.
func wantShown(t *testing.T, w *world, c class, e example) {
	t.Helper()
	token := e.token(w)
	in := newInput(token)
	us := w.ours[0]
	if in.strict = e.Profile == "RFC9068"; in.strict {
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

// wantPeers fails the test unless the named libraries accept the token, and the others
// refuse it with the given reason.
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

// If a token is just within a bound, or only resembles one that is refused, all accept
// it and read the same claims.
func TestEverybodyAcceptsWhatIsNearby(t *testing.T) {
	wantAgreement(t, map[string]string{
		"a date of 64 characters":              `{<good but exp>,"exp":1800000300.<53*0>}`,
		"a date of 64 characters and exponent": `{<good but exp>,"exp":1800000300<50*0>e-50}`,
		"an exponent of 64":                    `{<good but exp>,"exp":0.<54*0>18e64}`,
		"an exponent of -64":                   `{<good but iat>,"iat":0e-64}`,
		"an exponent with a fraction left":     `{<good but exp>,"exp":18000003005e-1}`,
		"an end by a nanosecond":               `{<good but exp>,"exp":1799999971.000000001}`,
		"an end by a nanosecond, an exponent":  `{<good but exp>,"exp":17999999710000000001e-10}`,
		"the last second that there is":        `{<good but exp>,"exp":253402300799}`,
		"the same, and less than a nanosecond": `{<good but exp>,"exp":253402300799.0000000001}`,
		"a beginning at this second":           `{<good>,"nbf":1800000030}`,
		"kinds that are an access token's":     `{<good>,"token_use":"access","typ":"Bearer","token_type":"Bearer"}`,
		"an id with a space":                   `{<good>,"token_use":"id ","typ":"\u0131d"}`,
		"an empty aud beside ours":             `{<good but aud>,"aud":["","https://api.example.com"]}`,
		"claims of single issuers, odd ones":   `{<good>,"scp":1,"roles":"x","ver":1e0,"tid":[],"uid":1,"cid":1,"appid":{},"uti":1,"idtyp":1,"email":1,"email_verified":"x"}`,
	})
}

// If no check uses a claim, it never makes a token fail, whatever its value (RFC 7519
// §4: a claim that is not understood is ignored). Duplicate names and bad text do.
func TestEverybodyAcceptsWhatDecidesNothing(t *testing.T) {
	for _, name := range []string{"acr", "amr", "auth_time", "act", "authorization_details", "typ", "token_use"} {
		payloads := map[string]string{}
		for _, value := range []string{
			`null`, `true`, `false`, `0`, `-1`, `253402300800`, `0e-65`, `0.<55*0>18e65`, `"x"`, `""`, `"1800000000"`, `[]`, `["x"]`, `[null]`, `[["x"]]`, `[{"sub":"bob"}]`, `[{"type":1}]`, `[{"type":"x"},"y"]`,
			`{}`, `{"sub":1}`, `{"iss":null}`, `{"client_id":["x"]}`, `{"s\u0075b":1}`, `{"sub":"bob","act":{"sub":1}}`, `{"type":"payment"}`, `{"m":1<256*,"m#":1>}`, `[{"m":1<256*,"m#":1>}]`,
		} {
			payloads[name+" "+value] = `{<good>,"` + name + `":` + value + `}`
		}
		wantAgreement(t, payloads)
	}
}

// wantAgreement fails the test unless all accept the payloads, and no class says
// otherwise.
func wantAgreement(t *testing.T, payloads map[string]string) {
	t.Helper()
	w, classes := theWorld(), mustClasses(t)
	for name, payload := range payloads {
		token := example{Payload: payload}.token(w)
		tried := newTally()
		tried.try(w, classes, token)
		if tried.ours != 1 || len(tried.classes)+len(tried.unexplained) > 0 {
			t.Errorf("%s: got %d accepted, %v and %q; want all to agree, and no class to say otherwise\n%s",
				name, tried.ours, tried.classes, slices.Sorted(maps.Keys(tried.unexplained)), show(token))
		}
	}
}
