// Command mutate shows that every check is needed by some test. It takes the
// checks of the validator and of the strict reader away or turns them round, one
// at a time, and runs the tests: a mutant that no test kills is a check that could
// be lost unseen.
//
//	go run ./conformance/mutate                   # all of them; what make mutate does
//	go run ./conformance/mutate -list             # only their ids
//	go run ./conformance/mutate -run 'Parse never'
//	go run ./conformance/mutate -only ./grpcauth,scopes/set.go   # make mutate ONLY=./grpcauth
//
// The checks are found in the syntax tree, and a mutant's id is made of what it
// changes: file, function, operator, source text. No file of the tree is written:
// the tests are compiled with an overlay that holds all mutants asleep, once for
// each package, and a variable of the environment wakes one of them. Tests that do
// not end are stopped, which kills the mutant too; the table says so.
//
// The operators:
//
//	never     a condition for a refusal never holds
//	inverted  any other condition, turned round
//	always    a truth value that is returned is true
//	removed   one operand of && or ||, or one value of a case, is taken out
//	boundary  < becomes <=, and so on; Before becomes "not After"
//	dropped   a verdict that is returned becomes nil
//	unbounded min or max returns its first argument
//
// Mutants that survive for a reason stand in survivors.txt. The command fails
// when another one survives, and when the list says what is no longer so.
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
	"strings"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("mutate: ")
	var (
		list = flag.Bool("list", false, "print the ids of the mutants, and do nothing else")
		run  = flag.String("run", "", "try only the mutants whose id matches this regular expression")
		only = flag.String("only", "", "try only the mutants of these packages or files, with a comma between them")
		jobs = flag.Int("j", 2, "mutants tried at the same time")
	)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := mutate(ctx, *run, *only, *jobs, *list); err != nil {
		log.Fatal(err)
	}
}

func mutate(ctx context.Context, run, only string, jobs int, list bool) error {
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
	if list {
		for _, m := range chosen {
			fmt.Println(m.id())
		}
		return nil
	}
	l, err := newLaboratory(ctx, ".", all, chosen, stages)
	if err != nil {
		return err
	}
	defer l.close()
	verdicts, err := l.tryAll(ctx, jobs)
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

// within returns the mutants of the packages and files that are named, with a comma
// between them; all of them for "". A name that no mutant has is a slip.
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
