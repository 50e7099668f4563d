package differential_test

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A document is JSON as read by a separate parser, written from RFC 8259, so that no
// tested parser explains its own mistakes. Faults that other parsers overlook are
// noted, and reading goes on.
type document struct {
	text      string
	root      *node // nil if the text is not JSON
	members   int   // of the outermost object
	commas    int   // outside strings
	depth     int
	duplicate bool // a name twice in the outermost object, escapes undone
	inside    bool // the same, in an object further inside
	badUTF8   bool // in a string
	surrogate bool // half of a pair, in a string
	nul       bool // in a string
	outsize   bool // a number that no float64 holds
	trailing  bool // an object is there, and something after it
}

// A node is one JSON value.
type node struct {
	kind     byte // one of { [ " 0 t f n
	raw      string
	text     string // of a string, escapes undone
	elements []node
	members  []member
}

type member struct {
	name  string
	value node
}

// get returns the first member of this name, or nil.
func (n *node) get(name string) *node {
	if n == nil {
		return nil
	}
	for i := range n.members {
		if n.members[i].name == name {
			return &n.members[i].value
		}
	}
	return nil
}

func (n *node) isString() bool { return n != nil && n.kind == '"' }

func (n *node) isNull() bool { return n != nil && n.kind == 'n' }

// isStrings tells an array of nothing but strings.
func (n *node) isStrings() bool {
	if n == nil || n.kind != '[' {
		return false
	}
	for _, element := range n.elements {
		if element.kind != '"' {
			return false
		}
	}
	return true
}

// is reports whether the value is this string.
func (n *node) is(text string) bool { return n.isString() && n.text == text }

func (d *document) isObject() bool { return d.root != nil && d.root.kind == '{' }

func (d *document) get(name string) *node { return d.root.get(name) }

func readDocument(text string) *document {
	d := &document{text: text}
	s := &scanner{document: d}
	s.space()
	root, ok := s.value(1)
	s.space()
	d.trailing = ok && root.kind == '{' && s.at < len(text)
	if ok && s.at == len(text) {
		d.root = &root
		d.members = len(root.members)
	}
	return d
}

type scanner struct {
	*document
	at int
}

// peek returns 0 at the end. A NUL in the text is not valid JSON either.
func (s *scanner) peek() byte {
	if s.at >= len(s.document.text) {
		return 0
	}
	return s.document.text[s.at]
}

func (s *scanner) space() {
	for strings.IndexByte(" \t\r\n", s.peek()) >= 0 && s.at < len(s.document.text) {
		s.at++
	}
}

func (s *scanner) literal(word string) bool {
	if !strings.HasPrefix(s.document.text[s.at:], word) {
		return false
	}
	s.at += len(word)
	return true
}

func (s *scanner) value(depth int) (n node, ok bool) {
	start := s.at
	switch c := s.peek(); {
	case c == '{':
		s.depth = max(s.depth, depth)
		n.kind = c
		n.members, ok = s.object(depth)
	case c == '[':
		s.depth = max(s.depth, depth)
		n.kind = c
		n.elements, ok = s.array(depth)
	case c == '"':
		n.kind = c
		n.text, ok = s.quoted()
	case c == '-' || c >= '0' && c <= '9':
		n.kind = '0'
		ok = s.number()
	case c == 't':
		n.kind, ok = c, s.literal("true")
	case c == 'f':
		n.kind, ok = c, s.literal("false")
	case c == 'n':
		n.kind, ok = c, s.literal("null")
	}
	n.raw = s.document.text[start:s.at]
	return n, ok
}

// list reads what stands between brackets, separated by commas.
func (s *scanner) list(end string, one func() bool) bool {
	s.at++
	s.space()
	if s.literal(end) {
		return true
	}
	for {
		s.space()
		if !one() {
			return false
		}
		s.space()
		if s.literal(end) {
			return true
		}
		if !s.literal(",") {
			return false
		}
		s.commas++
	}
}

func (s *scanner) array(depth int) (elements []node, ok bool) {
	ok = s.list("]", func() bool {
		element, ok := s.value(depth + 1)
		elements = append(elements, element)
		return ok
	})
	return elements, ok
}

func (s *scanner) object(depth int) (members []member, ok bool) {
	seen := map[string]bool{}
	ok = s.list("}", func() bool {
		if s.peek() != '"' {
			return false
		}
		name, ok := s.quoted()
		s.space()
		if !ok || !s.literal(":") {
			return false
		}
		s.space()
		value, ok := s.value(depth + 1)
		s.duplicate = s.duplicate || depth == 1 && seen[name]
		s.inside = s.inside || depth > 1 && seen[name]
		seen[name] = true
		members = append(members, member{name, value})
		return ok
	})
	return members, ok
}

// number reads -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?
func (s *scanner) number() bool {
	start := s.at
	s.literal("-")
	zero := s.peek() == '0'
	first := s.at
	if !s.digits() || zero && s.at > first+1 {
		return false
	}
	if s.literal(".") && !s.digits() {
		return false
	}
	if s.literal("e") || s.literal("E") {
		_ = s.literal("+") || s.literal("-")
		if !s.digits() {
			return false
		}
	}
	_, err := strconv.ParseFloat(s.document.text[start:s.at], 64)
	s.outsize = s.outsize || err != nil
	return true
}

func (s *scanner) digits() bool {
	start := s.at
	for s.peek() >= '0' && s.peek() <= '9' {
		s.at++
	}
	return s.at > start
}

func (s *scanner) quoted() (text string, ok bool) {
	var out strings.Builder
	for s.at++; ; {
		c := s.peek()
		switch {
		case c < 0x20: // the end as well
			return "", false
		case c == '"':
			s.at++
			return out.String(), true
		case c == '\\':
			r, ok := s.escape()
			if !ok {
				return "", false
			}
			out.WriteRune(r)
		default:
			r, size := utf8.DecodeRuneInString(s.document.text[s.at:])
			s.badUTF8 = s.badUTF8 || r == utf8.RuneError && size == 1
			out.WriteString(s.document.text[s.at : s.at+size])
			s.at += size
		}
	}
}

func (s *scanner) escape() (r rune, ok bool) {
	s.at++
	if s.literal("u") {
		return s.unicode()
	}
	i := strings.IndexByte(`"\/bfnrt`, s.peek())
	if i < 0 { // the end as well
		return 0, false
	}
	s.at++
	return rune("\"\\/\b\f\n\r\t"[i]), true
}

func (s *scanner) unicode() (rune, bool) {
	r, ok := s.hex()
	if !ok {
		return 0, false
	}
	s.nul = s.nul || r == 0
	if !utf16.IsSurrogate(r) {
		return r, true
	}
	before := s.at
	if s.literal(`\u`) {
		low, ok := s.hex()
		if pair := utf16.DecodeRune(r, low); ok && pair != utf8.RuneError {
			return pair, true
		}
		s.at = before
	}
	s.surrogate = true
	return utf8.RuneError, true
}

func (s *scanner) hex() (rune, bool) {
	if s.at+4 > len(s.document.text) {
		return 0, false
	}
	var r rune
	for _, c := range []byte(s.document.text[s.at : s.at+4]) {
		digit := strings.IndexByte("0123456789abcdef", lower(c))
		if digit < 0 {
			return 0, false
		}
		r = r<<4 | rune(digit)
	}
	s.at += 4
	return r, true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
