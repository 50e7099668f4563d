package jose

import "github.com/go-json-experiment/json/jsontext"

// Merge returns an object with the members of two, each of which [Object] has read
// before. Of a member that both have it takes the newer one's, unless that is null. If
// either has the member decided, it gets the text.
func Merge(older, newer []byte, decided, text string) []byte {
	merged := []byte{'{'}
	taken := map[string]bool{}
	add := func(name, value string) error {
		switch {
		case taken[name]:
			return nil
		case name == decided:
			quoted, err := jsontext.AppendQuote(nil, text)
			if err != nil {
				return err
			}
			value = string(quoted)
		}
		taken[name] = true
		if len(merged) > 1 {
			merged = append(merged, ',')
		}
		merged, _ = jsontext.AppendQuote(merged, name) // it was read from JSON
		merged = append(append(merged, ':'), value...)
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
