// Package verify measures this library and others that verify JWT access tokens, all
// in the same run. Each benchmark's code shows how its library is configured.
// README.md says how you run the benchmarks and read their results.
package verify
