package jose

import "github.com/go-json-experiment/json/jsontext"

// Merge returns an object with the members of two, each of which [Object] has read
// before. Of a member that both have it takes the newer one's, unless that is null.
// decide has the last word about each value, as JSON.
func Merge(older, newer []byte, decide func(name, value string) string) []byte {
	merged := []byte{'{'}
	taken := map[string]bool{}
	add := func(name, value string) error {
		if taken[name] {
			return nil
		}
		taken[name] = true
		if len(merged) > 1 {
			merged = append(merged, ',')
		}
		merged = append(merged, Quote(name)...)
		merged = append(append(merged, ':'), decide(name, value)...)
		return nil
	}
	_ = Object(string(newer), func(name, value string) error { // it was read before
		if value == "null" {
			return nil
		}
		return add(name, value)
	})
	_ = Object(string(older), add)
	return append(merged, '}')
}

// Quote returns a text that was read from JSON as a JSON string.
func Quote(text string) string {
	quoted, _ := jsontext.AppendQuote(nil, text) // its one error is invalid UTF-8, which was refused
	return string(quoted)
}
