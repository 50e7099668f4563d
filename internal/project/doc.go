// Package project holds tests of the project itself: the direction of its imports,
// its exported names, its documentation, the call sites that must not break, and the
// project's rules of style.
package project
