package jose

import "github.com/go-json-experiment/json/jsontext"

// Merge returns an object with the members of two, each of which [Object] has read
// before. Of a member that both have, it takes the newer one's.
func Merge(older, newer string) []byte {
	merged := []byte{'{'}
	add := func(name, value string) {
		if len(merged) > 1 {
			merged = append(merged, ',')
		}
		merged, _ = jsontext.AppendQuote(merged, name) // the name is valid UTF-8
		merged = append(append(merged, ':'), value...)
	}
	taken := map[string]bool{}
	_ = Object(newer, func(name, value string) error {
		taken[name] = true
		add(name, value)
		return nil
	})
	_ = Object(older, func(name, value string) error {
		if !taken[name] {
			add(name, value)
		}
		return nil
	})
	return append(merged, '}')
}
