// Package project holds tests about the project itself: the direction of its
// imports, its exported names, its documentation, the call sites that must not
// break, and the rules of the house.
package project
