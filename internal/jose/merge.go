package jose

import "github.com/go-json-experiment/json/jsontext"

// Merge returns one object with the members of both. Each of the two must have
// been read by [Object] before. If both have a member, the value in newer wins,
// unless it is null. decide gets each value as JSON and returns the JSON to write
// in its place.
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
	_ = Object(string(newer), func(name, value string) error { // no error: it was read before
		if value == "null" {
			return nil
		}
		return add(name, value)
	})
	_ = Object(string(older), add)
	return append(merged, '}')
}

// Quote returns a text as a JSON string. The text must have been read from JSON.
func Quote(text string) string {
	quoted, _ := jsontext.AppendQuote(nil, text) // its only error is invalid UTF-8, which was rejected before
	return string(quoted)
}
