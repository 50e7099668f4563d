package challenge

import "strings"

// A Challenge is one challenge of a WWW-Authenticate field (RFC 9110 §11.6.1).
type Challenge struct {
	Scheme string            // as it was sent
	Params map[string]string // by name in lower case; nil if there are none
}

// Read reads the lines of WWW-Authenticate. It stops at the first text that is no
// challenge, so that a later one cannot be taken for something that it is not. If a
// parameter is there twice, the first counts.
func Read(lines []string) (found []Challenge) {
	for _, line := range lines {
		rest := line
		for {
			rest = strings.TrimLeft(rest, " \t,")
			if rest == "" {
				break
			}
			c, after, ok := readChallenge(rest)
			if !ok {
				return found
			}
			found, rest = append(found, c), after
		}
	}
	return found
}

// readChallenge reads a scheme and its parameters, or a token68, which is dropped.
func readChallenge(text string) (c Challenge, rest string, ok bool) {
	c.Scheme, rest = cutToken(text)
	if rest != "" && rest[0] != ' ' && rest[0] != ',' { // also if there is no scheme
		return c, "", false
	}
	rest = strings.TrimLeft(rest, " ")
	if data, after, _ := strings.Cut(rest, ","); IsToken68(strings.TrimRight(data, " \t")) {
		return c, after, true
	}
	for {
		name, value, after, ok := readParam(rest)
		if !ok { // the next challenge, unless this one has no parameters and something else
			return c, rest, c.Params != nil || rest == "" || rest[0] == ','
		}
		if c.Params == nil {
			c.Params = map[string]string{}
		}
		if _, has := c.Params[name]; !has {
			c.Params[name] = value
		}
		rest = strings.TrimLeft(after, " \t")
		if rest != "" && rest[0] != ',' {
			return c, "", false
		}
		rest = strings.TrimLeft(rest, " \t,")
	}
}

// readParam reads an auth-param: a name, "=" and a token or a quoted-string, with optional
// white space around "=".
func readParam(text string) (name, value, rest string, ok bool) {
	name, rest = cutToken(text)
	rest, ok = strings.CutPrefix(strings.TrimLeft(rest, " \t"), "=")
	if name == "" || !ok {
		return "", "", text, false
	}
	rest = strings.TrimLeft(rest, " \t")
	if strings.HasPrefix(rest, `"`) {
		value, rest, ok = cutQuoted(rest[1:])
		return strings.ToLower(name), value, rest, ok
	}
	value, rest = cutToken(rest)
	return strings.ToLower(name), value, rest, value != ""
}

// cutQuoted reads the rest of a quoted-string.
func cutQuoted(text string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			return b.String(), text[i+1:], true
		case '\\':
			if i++; i == len(text) {
				return "", "", false
			}
		}
		b.WriteByte(text[i])
	}
	return "", "", false
}

func cutToken(text string) (token, rest string) {
	end := 0
	for end < len(text) && IsToken(text[end:end+1]) {
		end++
	}
	return text[:end], text[end:]
}
