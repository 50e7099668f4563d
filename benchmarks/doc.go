// Package benchmarks compares the hot path with the raw cryptography in the same run,
// and tests the promises about allocations. README.md says how you run the benchmarks
// and read their results.
package benchmarks
