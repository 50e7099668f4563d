// Command release builds everything that a release has, into a folder, and publishes
// nothing.
//
//	go run ./internal/release -version v0.1.0 -out bin/release   # what make release-rehearsal does
//	go run ./internal/release -api                               # what changed in the API since the last tag
//
// The folder then has the tags in the order in which they are pushed, the release's
// text out of CHANGELOG.md, a module zip and an SBOM for each module that is tagged,
// the changes of the API, and SHA256SUMS. RELEASE.md says how a release is made.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	version := flag.String("version", "", "the version to build, such as v0.1.0")
	out := flag.String("out", "bin/release", "the folder to write; it is emptied before")
	api := flag.Bool("api", false, "only print what changed in the API since the last tag, and the semver class of it")
	flag.Parse()
	if err := run(*version, *out, *api); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(version, out string, api bool) error {
	r := &repository{top: ".", sbom: cyclonedx, diff: apidiff}
	if api {
		text, class, err := r.apiChanges(".")
		if err == nil {
			fmt.Printf("%s\nsemver class: %s\n", text, class)
		}
		return err
	}
	return r.rehearse(version, out)
}
