// Command mutate shows which checks are not covered by a test. It changes the checks
// in the files of targets.go, one at a time, and runs the tests. If no test kills a
// mutant, its check could be lost without a failing test.
//
//	go run ./conformance/mutate                   # all mutants, like make mutate
//	go run ./conformance/mutate -list             # only print their ids
//	go run ./conformance/mutate -run 'Parse never'
//	go run ./conformance/mutate -only ./grpcauth,scopes/set.go   # make mutate ONLY=./grpcauth
//
// The checks are found in the syntax tree. A mutant's id consists of the file, the
// function, the operator and the source text that it changes. No file of the tree is
// changed: the tests of each package are compiled once, with an overlay that contains
// all mutants, and an environment variable enables one of the mutants. Each test is run
// once by itself, which shows the mutants that it reaches, and how long it takes. A mutant
// is then tried with the tests that reach it, the quickest first. Tests that take too long
// are stopped. This kills the mutant as well, and the table says so.
//
// The operators, to which mutants.go makes some exceptions:
//
//	never     a condition for a refusal, without ||, is always false
//	inverted  any other condition, without && and ||, is negated
//	always    a returned bool is always true
//	removed   one operand of && or ||, or one value of a case, is removed
//	boundary  < becomes <=, and so on; Before becomes "not After"
//	dropped   a returned error becomes nil
//	unbounded min or max returns its first argument
//
// survivors.txt lists the mutants that may survive, with the reasons. The command
// fails if any other mutant survives, or if the list has an entry that is obsolete.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("mutate: ")
	var (
		list = flag.Bool("list", false, "only print the ids of the mutants")
		run  = flag.String("run", "", "try only the mutants whose id matches this regular expression")
		only = flag.String("only", "", "try only the mutants of these packages or files, separated by commas")
		kept = flag.Bool("listed", false, "try the mutants of "+survivorsFile+" in place of all others; each of them has to survive")
		jobs = flag.Int("j", 2, "number of mutants to try at the same time")
	)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := mutate(ctx, *run, *only, *jobs, *list, *kept); err != nil {
		log.Fatal(err)
	}
}

func mutate(ctx context.Context, run, only string, jobs int, list, kept bool) error {
	pattern, err := regexp.Compile(run)
	if err != nil {
		return err
	}
	all, err := collect(".")
	if err != nil {
		return err
	}
	listed, err := readSurvivors(filepath.FromSlash(survivorsFile))
	if err != nil {
		return err
	}
	chosen, err := within(matching(all, pattern), only)
	if err != nil {
		return err
	}
	// A survivor costs most of the time, because all tests run for it.
	chosen = slices.DeleteFunc(chosen, func(m mutant) bool { return (reasonFor(listed, m.id()) != "") != kept })
	if list {
		for _, m := range chosen {
			fmt.Println(m.id())
		}
		return nil
	}
	l, err := newLaboratory(ctx, ".", jobs, all, chosen, stages)
	if err != nil {
		return err
	}
	defer l.close()
	verdicts, err := l.tryAll(ctx)
	if err != nil {
		return err
	}
	printTable(os.Stdout, verdicts, listed)
	return complaints(all, verdicts, listed)
}

func matching(all []mutant, pattern *regexp.Regexp) (chosen []mutant) {
	for _, m := range all {
		if pattern.MatchString(m.id()) {
			chosen = append(chosen, m)
		}
	}
	return chosen
}

// within returns the mutants of the named packages and files, which are separated by
// commas. If only is "", it returns all. A name without mutants is an error.
func within(all []mutant, only string) (chosen []mutant, err error) {
	if only == "" {
		return all, nil
	}
	for name := range strings.SplitSeq(only, ",") {
		before := len(chosen)
		name = path.Clean(filepath.ToSlash(strings.TrimSpace(name)))
		for _, m := range all {
			if m.file == name || path.Dir(m.file) == name {
				chosen = append(chosen, m)
			}
		}
		if len(chosen) == before {
			return nil, fmt.Errorf("-only: no mutants in %q; name a package or a file of targets.go, such as ./grpcauth", name)
		}
	}
	return chosen, nil
}
