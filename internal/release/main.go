// Command release builds all parts of a release in a folder. It does not publish them.
//
//	go run ./internal/release -version v0.1.0 -out bin/release   # like make release-rehearsal
//	go run ./internal/release -api                               # only print the changes in the API
//
// The folder then has the tags in the order in which you should push them, the text
// of the release from CHANGELOG.md, a module zip and an SBOM for each tagged module,
// the changes in the API, and SHA256SUMS. RELEASE.md describes how to make a release.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	version := flag.String("version", "", "the version to build, such as v0.1.0")
	out := flag.String("out", "bin/release", "the folder to write to; its old content is deleted")
	api := flag.Bool("api", false, "only print the changes in the API since the last tag, and their semver class")
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
