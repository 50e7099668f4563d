// Command accesstoken helps to configure package accesstoken.
//
//	go run github.com/accesstoken/accesstoken/cmd/accesstoken@latest dialect < token.txt
//
// dialect reads one JWT access token from standard input, and prints an
// accesstoken.Issuer whose Dialect describes the token. A TODO marks what one token
// cannot show. If the token fits a profile, the profile is named.
//
//	go run github.com/accesstoken/accesstoken/cmd/accesstoken@latest explain -issuer https://login.example.com -resource https://api.example.com -jwks keys.json < token.txt
//
// explain says what a Validator would decide about the token, each check with what it found
// and expected, and the response that a client would get. See docs/explain.md.
//
// dialect verifies nothing, and it sends nothing anywhere. It prints the issuer, the audience,
// the client and the names of claims, and no other value. The token is never an argument,
// because arguments stay in the history of the shell and in lists of processes.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

const usage = `usage: accesstoken dialect < token.txt
       accesstoken explain [flags] < token.txt

dialect reads one JWT access token from standard input, and prints an
accesstoken.Issuer whose Dialect describes the token. It verifies nothing, and it
needs no network.

explain says what a Validator would decide about the token, and why; explain -h lists
its flags.
`

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run returns the exit status. For dialect it is 0, 1 if the token is not one that a Dialect can
// describe, or 2 if the arguments are wrong.
func run(args []string, in io.Reader, out, complaints io.Writer) int {
	switch {
	case len(args) > 0 && args[0] == "explain":
		return explain(args[1:], in, out, complaints)
	case len(args) != 1 && len(args) > 0 && args[0] == "dialect":
		fmt.Fprint(complaints, "accesstoken: expected no argument after dialect; the token is read from standard input, because arguments stay in the history of the shell\n", usage)
		return 2
	case len(args) != 1 || args[0] != "dialect":
		fmt.Fprint(complaints, usage)
		return 2
	}
	token, err := read(in)
	if err == nil {
		var text string
		if text, err = describe(token); err == nil {
			_, err = io.WriteString(out, text)
		}
	}
	if err != nil {
		fmt.Fprintf(complaints, "accesstoken: %v\n", err)
		return 1
	}
	return 0
}

// most is the size of the largest token that a Validator can accept, in bytes.
const most = 64 << 10

// read returns the token from the input, without white space around it and without the
// scheme that a copied header field has in front.
func read(in io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(in, 2*most))
	if err != nil {
		return "", fmt.Errorf("cannot read standard input: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if scheme, rest, found := strings.Cut(token, " "); found && (strings.EqualFold(scheme, "Bearer") || strings.EqualFold(scheme, "DPoP")) {
		token = strings.TrimSpace(rest)
	}
	switch {
	case token == "":
		return "", errors.New("standard input is empty; expected one JWT access token")
	case len(token) > most:
		return "", fmt.Errorf("the input has more than %d bytes; expected one JWT access token", most)
	}
	return token, nil
}
