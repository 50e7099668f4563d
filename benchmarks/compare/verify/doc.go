// Package verify measures other libraries that verify JWT access tokens beside
// ours, all in one run. The code of its benchmarks is the configuration of each:
// README.md says how to run it and how to read it.
package verify
