package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// A verdict is the result for one mutant.
type verdict struct {
	mutant
	by   string // package and first failing test; "" if the mutant survived
	took time.Duration
}

// A laboratory has the compiled test programs, which contain all mutants.
type laboratory struct {
	top     string // absolute
	folder  string // outside the source tree
	chosen  []mutant
	stages  map[string][]stage
	overlay string
	limits  map[string]time.Duration // time limit for the tests of a package

	lock    sync.Mutex
	killers map[string][]string // tests that killed mutants, by package and file
}

// newLaboratory compiles the tests for the chosen mutants, and runs the tests without
// a mutant. The tests have to pass. Their time determines the limit after which a
// mutant counts as hanging.
func newLaboratory(ctx context.Context, top string, all, chosen []mutant, stages map[string][]stage) (*laboratory, error) {
	top, err := filepath.Abs(top)
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return nil, err
	}
	l := &laboratory{top: top, folder: folder, chosen: chosen, stages: stages,
		limits: map[string]time.Duration{}, killers: map[string][]string{}}
	if err := l.prepare(ctx, all); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *laboratory) close() { _ = os.RemoveAll(l.folder) }

func (l *laboratory) prepare(ctx context.Context, all []mutant) error {
	if err := l.writeOverlay(all); err != nil {
		return err
	}
	for _, m := range l.chosen {
		for _, s := range l.stagesOf(m) {
			if err := l.baseline(ctx, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeOverlay writes the instrumented files, one additional file for each of their
// packages, and the overlay file that makes the go command use them.
func (l *laboratory) writeOverlay(all []mutant) error {
	replaced, written := map[string]string{}, 0
	write := func(original string, content []byte) error {
		written++
		file := filepath.Join(l.folder, fmt.Sprintf("%d.go", written))
		replaced[original] = file
		return os.WriteFile(file, content, 0o600)
	}
	for file, mutants := range byFile(all) {
		original := filepath.Join(l.top, filepath.FromSlash(file))
		source, err := os.ReadFile(original)
		if err != nil {
			return err
		}
		if err := write(original, instrument(source, mutants)); err != nil {
			return err
		}
		beside := filepath.Join(filepath.Dir(original), chosenVariable+".go")
		if err := write(beside, switches(source)); err != nil {
			return err
		}
	}
	l.overlay = filepath.Join(l.folder, "overlay.json")
	content, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return err
	}
	return os.WriteFile(l.overlay, content, 0o600)
}

func byFile(all []mutant) map[string][]mutant {
	files := map[string][]mutant{}
	for _, m := range all {
		files[m.file] = append(files[m.file], m)
	}
	return files
}

func (l *laboratory) stagesOf(m mutant) []stage { return l.stages[path.Dir(m.file)] }

func (l *laboratory) program(s stage) string {
	return filepath.Join(l.folder, strings.ReplaceAll(named(s.pkg), "/", "_")+".test")
}

func (l *laboratory) baseline(ctx context.Context, s stage) error {
	if l.limits[s.pkg] > 0 {
		return nil
	}
	log.Printf("compiling the tests of %s", named(s.pkg))
	command := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay="+l.overlay, "-o", l.program(s), "./"+s.pkg)
	command.Dir = l.top
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s with all mutants in it does not compile: %w\n%s", named(s.pkg), err, out)
	}
	start := time.Now()
	if out, passed := l.execute(ctx, s, 0, 5*time.Minute, ""); !passed {
		return fmt.Errorf("the tests of %s fail without a mutant\n%s", named(s.pkg), out)
	}
	l.limits[s.pkg] = 20*time.Second + 5*time.Since(start)
	return nil
}

// tryAll returns the verdicts in the order of the mutants.
func (l *laboratory) tryAll(ctx context.Context, jobs int) ([]verdict, error) {
	verdicts := make([]verdict, len(l.chosen))
	next := make(chan int)
	var wait sync.WaitGroup
	for range max(jobs, 1) {
		wait.Go(func() {
			for i := range next {
				verdicts[i] = l.try(ctx, l.chosen[i])
				log.Printf("%d/%d %s: %s", i+1, len(l.chosen), l.chosen[i].id(), verdicts[i])
			}
		})
	}
	for i := range l.chosen {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	wait.Wait()
	return verdicts, ctx.Err()
}

// try runs the stages of a mutant in turn until one fails.
func (l *laboratory) try(ctx context.Context, m mutant) verdict {
	start := time.Now()
	v := verdict{mutant: m}
	for _, s := range l.stagesOf(m) {
		if test := l.failure(ctx, s, m); test != "" {
			v.by = named(s.pkg) + " " + test
			break
		}
	}
	v.took = time.Since(start)
	return v
}

// failure returns the first test that fails, or "". Tests that killed mutants of the
// same file run first. A failing test is run again by itself, in case it is flaky. If
// it then passes, the failure counts only if the whole package fails a second time.
func (l *laboratory) failure(ctx context.Context, s stage, m mutant) string {
	limit := l.limits[s.pkg]
	for _, first := range []string{l.likely(s, m), ""} {
		out, passed := l.execute(ctx, s, m.number, limit, first)
		if passed {
			continue
		}
		test := failing(out)
		parent, _, _ := strings.Cut(test, "/")
		if timedOut(out) || l.fails(ctx, s, m, "^"+regexp.QuoteMeta(parent)+"$") {
			l.remember(s, m, parent)
			return test
		}
		if l.fails(ctx, s, m, "") {
			return test
		}
	}
	return ""
}

func (l *laboratory) fails(ctx context.Context, s stage, m mutant, run string) bool {
	_, passed := l.execute(ctx, s, m.number, l.limits[s.pkg], run)
	return !passed
}

// likely returns a pattern for the tests to run first. If no test has killed a mutant
// of the file yet, the pattern matches none.
func (l *laboratory) likely(s stage, m mutant) string {
	l.lock.Lock()
	defer l.lock.Unlock()
	return "^(" + strings.Join(l.killers[s.pkg+" "+m.file], "|") + ")$"
}

// remember puts the test at the head of a short list.
func (l *laboratory) remember(s stage, m mutant, test string) {
	if !strings.HasPrefix(test, "Test") {
		return // a panic or a timeout
	}
	l.lock.Lock()
	defer l.lock.Unlock()
	key := s.pkg + " " + m.file
	others := slices.DeleteFunc(slices.Clone(l.killers[key]), func(other string) bool { return other == test })
	l.killers[key] = append([]string{test}, others[:min(len(others), 7)]...)
}

// execute runs the tests, or only those that match run, up to the first failure.
func (l *laboratory) execute(ctx context.Context, s stage, number int, limit time.Duration, run string) (out string, passed bool) {
	ctx, stop := context.WithTimeout(ctx, limit+10*time.Second)
	defer stop()
	command := exec.CommandContext(ctx, l.program(s), "-test.failfast", "-test.timeout="+limit.String(), "-test.skip="+s.skip, "-test.run="+run)
	command.Env = append(os.Environ(), fmt.Sprintf("%s=%d", variable, number))
	command.Dir = filepath.Join(l.top, filepath.FromSlash(s.pkg))
	command.WaitDelay = time.Second
	said, err := command.CombinedOutput()
	return string(said), err == nil
}

var failed = regexp.MustCompile(`(?m)^( *)--- FAIL: (\S+)`)

// byTimeout is used as the name of the test if the tests did not end in time.
const byTimeout = "by timeout"

// failing returns the first test that failed, with its first failed subtest.
func failing(output string) (name string) {
	if timedOut(output) {
		return byTimeout
	}
	depth := -1
	for _, found := range failed.FindAllStringSubmatch(output, -1) {
		if len(found[1]) <= depth {
			break
		}
		depth, name = len(found[1]), found[2]
	}
	if name == "" {
		return "by a panic"
	}
	return name
}

func timedOut(output string) bool { return strings.Contains(output, "panic: test timed out after") }

func named(pkg string) string {
	if pkg == "." {
		return "accesstoken"
	}
	return pkg
}
