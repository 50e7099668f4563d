// Package differential holds the Validator against other JOSE libraries: the
// same keys, clock and rules, tokens made up at random, and every difference of
// opinion has to be explained in testdata/explained.json.
//
//	go test -C conformance/differential
//	make differential DIFFTIME=10m
//
// A difference is explained when a property of the token itself, found by
// readers that share no code with the library, says why. The properties are held
// to be exact: a token that has one is refused by us whatever else is in it, or,
// where we accept it, refused by the library that the explanation names.
package differential
