package differential_test

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/accesstoken/accesstoken"
)

//go:embed testdata/explained.json
var explained []byte

// A class explains differences of one kind.
type class struct {
	Name       string
	WeSay      []string          `json:"we_say"`      // beginnings that our error may have; empty if we accept
	AcceptedBy []string          `json:"accepted_by"` // the libraries that accept what we refuse
	RefusedBy  map[string]string `json:"refused_by"`  // the libraries that refuse what we accept, and a part of their error
	ReadBy     []string          `json:"read_by"`     // the libraries that read a different exp, although all accept
	When       string            // the property of the token, and after a colon its argument
	Why        string
	Example    example
	Also       []string // payloads with the same result
}

// An example is a token as text. {header}, {payload} and {signature} in Token
// stand for the encoded parts.
type example struct {
	Header, Payload string
	Profile         string // the profile of our judge; "relaxed" if left out
	Salt            int    // length of the PSS salt, if it is not that of the hash
	Token           string
}

// examples returns the example, and it again with each other payload.
func (c class) examples() []example {
	all := []example{c.Example}
	for _, payload := range c.Also {
		another := c.Example
		another.Payload = payload
		all = append(all, another)
	}
	return all
}

func readClasses() ([]class, error) {
	var classes []class
	decoder := json.NewDecoder(bytes.NewReader(explained))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&classes); err != nil {
		return nil, err
	}
	for _, c := range classes {
		switch {
		case properties[c.property()] == nil:
			return nil, fmt.Errorf("%s: there is no property %q", c.Name, c.property())
		case c.refuses() != (len(c.AcceptedBy) > 0) || c.refuses() == (len(c.RefusedBy)+len(c.ReadBy) > 0):
			return nil, fmt.Errorf("%s: want we_say and accepted_by, or refused_by, or read_by", c.Name)
		}
	}
	return classes, nil
}

// refuses reports whether the class is about tokens that we refuse.
func (c class) refuses() bool { return len(c.WeSay) > 0 }

func (c class) property() string {
	name, _, _ := strings.Cut(c.When, ": ")
	return name
}

// holds reports whether the token has the property.
func (c class) holds(in *input) bool {
	_, of, _ := strings.Cut(c.When, ": ")
	return properties[c.property()](in, of)
}

// A verdict is the answer of one judge.
type verdict struct {
	judge string
	reading
	err error
}

// A finding is a difference, explained by a class or by none.
type finding struct {
	class string // "" if no class explains it
	text  string // the difference, without details of the single token
}

// compare compares our verdict on a token with the others.
func (w *world) compare(classes []class, in *input, ours verdict, theirs []verdict) (found []finding) {
	if ours.err == nil {
		found = append(found, contradictions(classes, in, ours, theirs)...)
	} else if odd := oddity(ours.err); odd != "" {
		return []finding{{text: odd}}
	}
	for _, peer := range theirs {
		switch {
		case ours.err == nil && peer.err == nil:
			found = append(found, explainReading(classes, in, ours, peer)...)
		case ours.err == nil:
			found = append(found, w.explainAcceptance(classes, in, ours, peer))
		case peer.err == nil:
			found = append(found, explainRefusal(classes, in, ours, peer))
		}
	}
	return found
}

// oddity finds errors that no token may cause.
func oddity(err error) string {
	var refused *accesstoken.Error
	if !errors.As(err, &refused) || refused.HTTPStatus() >= 500 {
		return "we fail: " + err.Error()
	}
	return ""
}

// contradictions finds classes that claim too much: a token has the property, but we
// do not refuse it, or the named library does not.
func contradictions(classes []class, in *input, ours verdict, theirs []verdict) (found []finding) {
	for _, c := range classes {
		if !c.holds(in) {
			continue
		}
		if c.refuses() {
			found = append(found, finding{text: fmt.Sprintf("%s accepts although %q", ours.judge, c.When)})
		}
		for _, peer := range theirs {
			if _, refuses := c.RefusedBy[peer.judge]; refuses && peer.err == nil {
				found = append(found, finding{text: fmt.Sprintf("%s accepts although %q", peer.judge, c.When)})
			}
		}
	}
	return found
}

// explainReading compares the claims that two judges read in a token that both accept.
// Only the dates may differ.
func explainReading(classes []class, in *input, ours, peer verdict) []finding {
	if ours.reading == peer.reading {
		return nil
	}
	same := peer.reading
	same.Expiry = ours.Expiry
	for _, c := range classes {
		if same == ours.reading && slices.Contains(c.ReadBy, peer.judge) && c.holds(in) {
			return []finding{{class: c.Name}}
		}
	}
	return []finding{{text: fmt.Sprintf("%s and %s accept, and read different things", ours.judge, peer.judge)}}
}

func (w *world) explainAcceptance(classes []class, in *input, ours, peer verdict) finding {
	text := fmt.Sprintf("%s accepts; %s refuses: %s", ours.judge, peer.judge, normal(peer.err))
	if !w.genuine(in) {
		return finding{text: text + "; and the signature is not genuine"}
	}
	for _, c := range classes {
		piece, ok := c.RefusedBy[peer.judge]
		if ok && strings.Contains(peer.err.Error(), piece) && c.holds(in) {
			return finding{class: c.Name}
		}
	}
	return finding{text: text}
}

func explainRefusal(classes []class, in *input, ours, peer verdict) finding {
	for _, c := range classes {
		if c.says(ours.err) && slices.Contains(c.AcceptedBy, peer.judge) && c.holds(in) {
			return finding{class: c.Name}
		}
	}
	return finding{text: fmt.Sprintf("%s refuses: %s; %s accepts", ours.judge, normal(ours.err), peer.judge)}
}

// says reports whether our error is one of the class.
func (c class) says(err error) bool {
	said := strings.TrimPrefix(err.Error(), "accesstoken: ")
	return slices.ContainsFunc(c.WeSay, func(beginning string) bool { return strings.HasPrefix(said, beginning) })
}

// shorter removes the prefixes of jwx's errors, and names of members.
var shorter = regexp.MustCompile(`jwt.ParseString: failed to parse string: |(field |key )[^:]*:`)

// normal removes from an error the details of the single token: quoted text and digits.
func normal(err error) string {
	var out strings.Builder
	var quote rune
	for _, r := range strings.ReplaceAll(err.Error(), "\n", " ") {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '"' || r == '`':
			quote = r
			out.WriteRune('…')
		case r < '0' || r > '9':
			out.WriteRune(r)
		}
	}
	return shorter.ReplaceAllString(out.String(), "$1")
}
