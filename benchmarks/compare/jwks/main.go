// Command jwks compares how key set caches behave if the key server fails: this
// project's cache and those of other libraries. All go through the same scenarios. It
// prints one Markdown table.
//
//	go run -C benchmarks/compare/jwks . -peer accesstoken,keyfunc -only cold,boot
//
// README.md explains the rows and how you should read them.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
)

// The table in a file is between these lines.
const begin, end = "<!-- begin: generated -->", "<!-- end: generated -->"

func main() {
	log.SetFlags(log.Ltime)
	log.SetPrefix("jwks: ")
	slog.SetDefault(slog.New(slog.DiscardHandler)) // some of the caches report each failure there
	var (
		only  = flag.String("only", "", "scenarios to run, by name: "+names(scenarios))
		peer  = flag.String("peer", "", "implementations to run, by name: "+names(implementations))
		alone = flag.Bool("alone", false, "always run one implementation at a time; takes about 20 minutes")
		write = flag.String("write", "", "file whose table to replace")
	)
	flag.Parse()
	if err := run(*only, *peer, *alone, *write); err != nil {
		log.Fatal(err)
	}
}

func run(only, peer string, alone bool, write string) error {
	rows, err := choose(scenarios, only)
	if err != nil {
		return err
	}
	columns, err := choose(implementations, peer)
	if err != nil {
		return err
	}
	t := table{rows: rows, columns: columns, alone: alone}
	for _, row := range rows {
		log.Printf("%s: %s", row.name, row.title)
		cells, err := try(row, columns, row.together && !alone)
		if err != nil {
			return err
		}
		t.cells = append(t.cells, cells)
	}
	fmt.Print(t.markdown())
	if write == "" {
		return nil
	}
	return replace(write, t.markdown())
}

// try runs one scenario with each implementation, together or one by one.
func try(s scenario, with []implementation, together bool) ([]string, error) {
	cells, faults := make([]string, len(with)), make([]error, len(with))
	var running sync.WaitGroup
	for n, i := range with {
		running.Go(func() { cells[n], faults[n] = tryOne(s, i) })
		if !together {
			running.Wait()
		}
	}
	running.Wait()
	for n, fault := range faults {
		if fault != nil {
			return nil, fmt.Errorf("%s, %s: %w", s.name, with[n].name, fault)
		}
	}
	return cells, nil
}

func tryOne(s scenario, i implementation) (string, error) {
	t, err := newTrial(context.Background(), i, s.fresh)
	if err != nil {
		return "", err
	}
	defer t.close()
	found, err := s.run(t)
	return found.String(), err
}

// named is a scenario or an implementation, which can be chosen by name.
type named interface{ id() string }

func ids[T named](all []T) []string {
	var list []string
	for _, one := range all {
		list = append(list, one.id())
	}
	return list
}

func names[T named](all []T) string { return strings.Join(ids(all), ", ") }

// choose returns those of all whose names are in a comma-separated list, in the order
// of all. If the list is empty, it returns all.
func choose[T named](all []T, list string) ([]T, error) {
	if list == "" {
		return all, nil
	}
	wanted := strings.Split(list, ",")
	for _, name := range wanted {
		if !slices.ContainsFunc(all, func(one T) bool { return one.id() == name }) {
			return nil, fmt.Errorf("unknown name %q; choose from %s", name, names(all))
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(one T) bool { return !slices.Contains(wanted, one.id()) }), nil
}

// replace replaces the table between the marks of a file.
func replace(name, table string) error {
	content, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	before, rest, found := bytes.Cut(content, []byte(begin))
	_, after, closed := bytes.Cut(rest, []byte(end))
	if !found || !closed {
		return fmt.Errorf("%s has no lines %q and %q", name, begin, end)
	}
	return os.WriteFile(name, slices.Concat(before, []byte(begin+"\n\n"+table+"\n"+end), after), 0o644)
}
