// Package differential compares the Validator with other JOSE libraries. The Validator
// and the libraries get the same keys, clock, rules and randomly made tokens. If their
// verdicts differ, the difference has to be explained in testdata/explained.json.
//
//	go test -C conformance/differential
//	make differential DIFFTIME=10m
//
// A difference is explained by a property of the token, which is found by readers that
// share no code with the library. For example, a header member zip is such a property.
// The properties are tested to be exact. If a token has an explained property, we
// refuse the token, whatever else is in it, or we accept it and the library that the
// explanation names refuses it.
package differential
