package jose

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// A scanner reads JSON (RFC 8259) in one pass, without copying. It runs for every
// new token, on input that is not verified yet, and a general decoder would take
// three times as long. If a string has an escape, which is rare in tokens, the
// scanner leaves the string to jsontext.
type scanner struct {
	text   string
	at     int  // offset of the first unread byte
	depth  int  // number of open brackets
	deep   bool // accept nesting of maxDepthOfBody, not only of maxDepth
	commas int  // read so far
	most   int  // maximum number of commas
	unique bool // reject an object that has a name twice
	wide   bool // accept an object with more than maxMembers members

	unquoted []byte // the last string that had an escape, decoded
}

var (
	errValue   = errors.New("expected a JSON value, an object at the top")
	errString  = errors.New("expected a JSON string in valid UTF-8")
	errNumber  = errors.New("expected a JSON number")
	errNext    = errors.New("expected a comma, a colon or a closing bracket")
	errUnique  = errors.New("expected unique member names")
	errMembers = errors.New("expected at most 256 members")
	errMuch    = errors.New("expected less nesting and fewer elements")
	errEnd     = errors.New("expected nothing after the JSON object")
)

// document reads one object. Anything but white space after it is an error.
func (s *scanner) document(member func(name, value string) error) error {
	s.space()
	if err := s.object(member); err != nil {
		return err
	}
	if s.space(); s.at < len(s.text) {
		return errEnd
	}
	return nil
}

// object reads an object. If member is nil, the members are only skipped.
func (s *scanner) object(member func(name, value string) error) error {
	var seen names
	count := 0
	return s.list('{', '}', func() error {
		name, err := s.name()
		if err != nil {
			return err
		}
		if s.unique && !seen.add(name) {
			return errUnique
		}
		if s.space(); !s.take(':') {
			return errNext
		}
		value, err := s.value()
		if err != nil || member == nil {
			return err
		}
		if count++; count > maxMembers && !s.wide {
			return errMembers
		}
		return member(name, value)
	})
}

// array reads an array. If element is nil, the elements are only skipped.
func (s *scanner) array(element func(value string) error) error {
	return s.list('[', ']', func() error {
		value, err := s.value()
		if err != nil || element == nil {
			return err
		}
		return element(value)
	})
}

// list reads the elements between two brackets, which are separated by commas.
func (s *scanner) list(first, last byte, element func() error) error {
	if s.depth++; s.depth > maxDepth && (!s.deep || s.depth > maxDepthOfBody) {
		return errMuch
	}
	if !s.take(first) {
		return errValue
	}
	s.space()
	for more := !s.take(last); more; {
		if err := element(); err != nil {
			return err
		}
		if s.space(); s.take(last) {
			break
		}
		if s.commas++; s.commas > s.most {
			return errMuch
		}
		if !s.take(',') {
			return errNext
		}
		s.space()
	}
	s.depth--
	return nil
}

// value reads a value and returns its JSON text.
func (s *scanner) value() (value string, err error) {
	s.space()
	from := s.at
	switch s.peek() {
	case '{':
		err = s.object(nil)
	case '[':
		err = s.array(nil)
	case '"':
		_, err = s.quoted()
	case 't':
		err = s.literal("true")
	case 'f':
		err = s.literal("false")
	case 'n':
		err = s.literal("null")
	default:
		err = s.number()
	}
	return s.text[from:s.at], err
}

// name reads the name of a member and decodes its escapes. For example, "is\u0073"
// is iss, which a comparison of the raw bytes would miss.
func (s *scanner) name() (string, error) {
	from := s.at
	escaped, err := s.quoted()
	if err != nil {
		return "", err
	}
	if escaped {
		return string(s.unquoted), nil
	}
	return s.text[from+1 : s.at-1], nil
}

// quoted skips a string and reports whether it has an escape.
func (s *scanner) quoted() (escaped bool, err error) {
	if !s.take('"') {
		return false, errString
	}
	from, text := s.at, s.text
	ascii := true
	for at := from; at < len(text); at++ {
		c := text[at]
		switch {
		case c == '"':
			s.at = at + 1
			return escaped, s.check(text[from-1:s.at], ascii, escaped)
		case c == '\\':
			escaped = true
			at++
		case c < ' ':
			return false, errString
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return false, errString
}

// check validates the UTF-8 of a string, unless the string is ascii. If it is escaped,
// check decodes it into s.unquoted.
func (s *scanner) check(quoted string, ascii, escaped bool) (err error) {
	if !ascii && !utf8.ValidString(quoted) {
		return errString
	}
	if !escaped {
		return nil
	}
	if s.unquoted, err = jsontext.AppendUnquote(s.unquoted[:0], quoted); err != nil {
		return errString
	}
	return nil
}

// number skips -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?.
func (s *scanner) number() error {
	s.take('-')
	ok := s.take('0') || s.digits()
	if s.take('.') {
		ok = s.digits() && ok
	}
	if s.take('e') || s.take('E') {
		_ = s.take('+') || s.take('-')
		ok = s.digits() && ok
	}
	if !ok {
		return errNumber
	}
	return nil
}

// digits skips digits, and reports whether there was at least one.
func (s *scanner) digits() bool {
	from := s.at
	for s.peek() >= '0' && s.peek() <= '9' {
		s.at++
	}
	return s.at > from
}

func (s *scanner) literal(text string) error {
	if !strings.HasPrefix(s.text[s.at:], text) {
		return errValue
	}
	s.at += len(text)
	return nil
}

// peek returns the next byte, or 0 at the end, which is not a valid byte of JSON.
func (s *scanner) peek() byte {
	if s.at == len(s.text) {
		return 0
	}
	return s.text[s.at]
}

// take skips c and returns true, if c comes next.
func (s *scanner) take(c byte) bool {
	if s.at == len(s.text) || s.text[s.at] != c {
		return false
	}
	s.at++
	return true
}

func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

// names are the member names of one object. Up to 32 are compared one by one. If
// there are more, they are kept in a map, because comparing each pair would be
// slow.
type names struct {
	few  [32]string
	len  int
	many map[string]bool
}

// add adds a name, and reports whether it is new.
func (n *names) add(name string) bool {
	switch {
	case n.many[name]:
		return false
	case n.many != nil:
		n.many[name] = true
		return true
	}
	for _, other := range n.few[:n.len] {
		if other == name {
			return false
		}
	}
	if n.len < len(n.few) {
		n.few[n.len] = name
		n.len++
		return true
	}
	n.many = make(map[string]bool, 2*len(n.few))
	n.many[name] = true
	for _, other := range n.few {
		n.many[other] = true
	}
	return true
}
