package main

// The indexes of the cores that the client and the server use, among the cores that
// the process may use.
const (
	clientCore = iota
	serverCore
)
