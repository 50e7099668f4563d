// Package benchmarks measures the hot path beside the raw cryptography, in one
// run, and holds the promises about allocations. README.md says how to run it
// and how to read it.
package benchmarks
