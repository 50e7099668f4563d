package differential_test

import (
	"encoding/json"
	"testing"
)

// The scanner and encoding/json accept the same texts as JSON. Both tolerate bad UTF-8
// and lone surrogates.
func TestTheScannerKnowsJSON(t *testing.T) {
	w, known := theWorld(), 0
	for n := range uint64(300) {
		in := newInput(w.generate(randomData(2, n)))
		for _, d := range []*document{in.header, in.payload} {
			if valid := json.Valid([]byte(d.text)); valid != (d.root != nil) {
				t.Errorf("%q: got JSON %v; want %v", d.text, d.root != nil, valid)
			} else if valid {
				known++
			}
		}
	}
	if known < 300 {
		t.Errorf("got %d documents that are JSON; want most of 600", known)
	}
}

// What the scanner says about a text is what is explained by it.
func TestTheScannerNotes(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		note func(*document) bool
	}{
		"a name twice":                   {`{"a":1,"b":2,"a":3}`, func(d *document) bool { return d.duplicate && !d.inside }},
		"a name twice, escaped":          {`{"a":1,"\u0061":3}`, func(d *document) bool { return d.duplicate && !d.inside }},
		"a name twice, inside":           {`{"a":[{"b":1,"b":2}]}`, func(d *document) bool { return !d.duplicate && d.inside }},
		"one name in two objects":        {`{"a":[{"b":1},{"b":2}],"b":{"a":1}}`, func(d *document) bool { return !d.duplicate && !d.inside }},
		"names in two cases":             {`{"a":1,"A":2}`, func(d *document) bool { return !d.duplicate }},
		"half a pair":                    {`{"a":"\ud800"}`, func(d *document) bool { return d.surrogate }},
		"two halves, the wrong way":      {`{"a":"\udc00\ud800"}`, func(d *document) bool { return d.surrogate }},
		"a pair":                         {`{"a":"\ud83d\ude00"}`, func(d *document) bool { return !d.surrogate && d.get("a").is("\U0001F600") }},
		"a bad byte":                     {"{\"a\":\"\xff\"}", func(d *document) bool { return d.badUTF8 }},
		"a surrogate in bytes":           {"{\"a\":\"\xed\xa0\x80\"}", func(d *document) bool { return d.badUTF8 }},
		"U+FFFD as such":                 {"{\"a\":\"\uFFFD\"}", func(d *document) bool { return !d.badUTF8 }},
		"16 levels":                      {`{"a":[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}`, func(d *document) bool { return d.depth == 16 }},
		"commas and brackets in strings": {`{"a":",,[[","b":[1,2]}`, func(d *document) bool { return d.commas == 2 && d.depth == 2 && d.members == 2 }},
		"a number beyond float64":        {`{"a":[1e309]}`, func(d *document) bool { return d.outsize }},
		"a long number":                  {`{"a":1e308}`, func(d *document) bool { return !d.outsize }},
		"text after the object":          {`{"a":1}{}`, func(d *document) bool { return d.trailing && d.root == nil }},
		"a backslash at the end":         {`{"a":"\`, func(d *document) bool { return d.root == nil }},
		"half an escape at the end":      {`{"a":"\u00`, func(d *document) bool { return d.root == nil }},
		"white space after the object":   {"{\"a\":1} \r\n\t", func(d *document) bool { return !d.trailing && d.isObject() }},
	} {
		if d := readDocument(test.text); !test.note(d) {
			t.Errorf("%s: got %+v", name, d)
		}
	}
}

// Each property should be used by a class, because otherwise it explains nothing.
func TestEveryPropertyIsUsed(t *testing.T) {
	used := map[string]bool{}
	for _, c := range mustClasses(t) {
		used[c.property()] = true
	}
	for name := range properties {
		if !used[name] {
			t.Errorf("no class uses the property %q", name)
		}
	}
}

// If a document is cut off anywhere, it is read to its end, with the same result as
// encoding/json.
func TestTheScannerReadsBeginnings(t *testing.T) {
	w := theWorld()
	for n := range uint64(100) {
		text := newInput(w.generate(randomData(3, n))).payload.text
		for end := range min(len(text), 400) {
			if got, want := readDocument(text[:end]).root != nil, json.Valid([]byte(text[:end])); got != want {
				t.Errorf("%q: got JSON %v; want %v", text[:end], got, want)
			}
		}
	}
}
