package main

// The places of the cores that each side keeps to, among those it may use.
const (
	clientCore = iota
	serverCore
)
