package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A unit is a test, or one of its subtests if the test takes long.
type unit struct {
	test, sub string // sub is "" for the whole test
	took      time.Duration
	reaches   map[int]bool // the numbers of the mutants whose code it reaches
}

func (u unit) isWhole() bool { return u.sub == "" }

// long is the time of a test from which on its subtests are units.
const long = 2 * time.Second

// record runs each test of a stage by itself, without a mutant. The tests have to pass.
func (l *laboratory) record(ctx context.Context, s stage) ([]unit, error) {
	names, err := l.tests(ctx, s)
	if err != nil {
		return nil, err
	}
	log.Printf("running the %d tests of %s, each by itself", len(names), named(s.pkg))
	var (
		units []unit
		lock  sync.Mutex
		wait  sync.WaitGroup
		next  = make(chan string)
	)
	for range l.jobs {
		wait.Go(func() {
			for name := range next {
				found, failure := l.measure(ctx, s, name)
				lock.Lock()
				units, err = append(units, found...), cmp.Or(err, failure)
				lock.Unlock()
			}
		})
	}
	for _, name := range names {
		next <- name
	}
	close(next)
	wait.Wait()
	slices.SortFunc(units, func(a, b unit) int {
		return cmp.Or(cmp.Compare(a.took, b.took), cmp.Compare(a.test, b.test), cmp.Compare(a.sub, b.sub))
	})
	return units, err
}

// tests returns the names of a stage's tests.
func (l *laboratory) tests(ctx context.Context, s stage) (names []string, err error) {
	out, err := l.command(ctx, s, "-test.list=.").Output()
	if err != nil {
		return nil, fmt.Errorf("the tests of %s cannot be listed: %w", named(s.pkg), err)
	}
	skip := regexp.MustCompile(cmp.Or(s.skip, "^$"))
	for name := range strings.FieldsSeq(string(out)) {
		if !strings.HasPrefix(name, "Benchmark") && !skip.MatchString(name) {
			names = append(names, name)
		}
	}
	return names, nil
}

var subtest = regexp.MustCompile(`(?m)^=== RUN   [^/\s]+/([^/\s]+)$`)

// measure runs one test and, if it takes long, each of its subtests by itself.
func (l *laboratory) measure(ctx context.Context, s stage, test string) ([]unit, error) {
	whole, out, err := l.measureUnit(ctx, s, unit{test: test})
	if err != nil || whole.took < long {
		return []unit{whole}, err
	}
	var units []unit
	for _, found := range subtest.FindAllStringSubmatch(out, -1) {
		u, _, err := l.measureUnit(ctx, s, unit{test: test, sub: found[1]})
		if err != nil {
			return nil, err
		}
		units = append(units, u)
	}
	if len(units) < 4 {
		return []unit{whole}, nil
	}
	return units, nil
}

func (l *laboratory) measureUnit(ctx context.Context, s stage, u unit) (unit, string, error) {
	file, err := os.CreateTemp(l.folder, "reached")
	if err != nil {
		return u, "", err
	}
	_ = file.Close()
	start := time.Now()
	out, passed := l.execute(ctx, s, 0, 5*time.Minute, trialOf(s, u).run, reachVariable+"="+file.Name())
	u.took = time.Since(start)
	if !passed {
		return u, out, fmt.Errorf("the tests of %s fail without a mutant\n%s", named(s.pkg), out)
	}
	content, err := os.ReadFile(file.Name())
	if err != nil {
		return u, out, err
	}
	u.reaches = map[int]bool{}
	for line := range strings.FieldsSeq(string(content)) {
		if number, err := strconv.Atoi(line); err == nil { // two programs can write at once
			u.reaches[number] = true
		}
	}
	return u, out, os.Remove(filepath.Clean(file.Name()))
}
