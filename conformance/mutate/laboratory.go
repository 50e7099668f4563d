package main

import (
	"cmp"
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
	by   string // package and first failing test, or how its tests ended; "" if the mutant survived
	took time.Duration
}

// A laboratory has the compiled test programs, which contain all mutants.
type laboratory struct {
	top     string // absolute
	jobs    int    // how many test programs run at once
	folder  string // outside the source tree
	chosen  []mutant
	stages  map[string][]stage
	overlay string
	limits  map[string]time.Duration // time limit for the tests of a package
	units   map[string][]unit        // of a package, the quickest first

	lock    sync.Mutex
	killers map[string][]unit // that killed mutants, by package and file
}

// newLaboratory compiles the tests for the chosen mutants, and runs the tests without
// a mutant. The tests have to pass. Their time determines the limit after which a
// mutant counts as hanging.
func newLaboratory(ctx context.Context, top string, jobs int, all, chosen []mutant, stages map[string][]stage) (*laboratory, error) {
	top, err := filepath.Abs(top)
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return nil, err
	}
	l := &laboratory{top: top, jobs: max(jobs, 1), folder: folder, chosen: chosen, stages: stages,
		limits: map[string]time.Duration{}, units: map[string][]unit{}, killers: map[string][]unit{}}
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
	units, err := l.record(ctx, s)
	if err != nil {
		return err
	}
	l.units[s.pkg] = units
	whole := time.Duration(0)
	for _, u := range units {
		whole += u.took
	}
	l.limits[s.pkg] = limitOf(whole)
	return nil
}

// limitOf returns the time after which tests count as hanging that took this long.
func limitOf(took time.Duration) time.Duration { return 20*time.Second + 5*took }

// tryAll returns the verdicts in the order of the mutants.
func (l *laboratory) tryAll(ctx context.Context) ([]verdict, error) {
	verdicts := make([]verdict, len(l.chosen))
	next := make(chan int)
	var wait sync.WaitGroup
	for range l.jobs {
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

// try runs the tests that reach the mutant until one fails: first those that killed mutants
// of the same file, then the others, the quickest first. If none fails, whole packages are
// run, because what a test reaches can depend on chance.
func (l *laboratory) try(ctx context.Context, m mutant) verdict {
	start := time.Now()
	v := verdict{mutant: m}
	for _, trial := range l.trialsOf(m) {
		if test := l.failure(ctx, trial, m); test != "" {
			v.by = named(trial.stage.pkg) + " " + test
			break
		}
	}
	v.took = time.Since(start)
	return v
}

// A trial is one run of a test program.
type trial struct {
	stage stage
	run   string // the pattern of the tests; "" for all
	limit time.Duration
	units []unit
}

// quick bounds the time of the tests that run together.
const quick = 300 * time.Millisecond

// trialsOf returns the runs of a mutant in their order.
func (l *laboratory) trialsOf(m mutant) (trials []trial) {
	var slow []trial
	for _, s := range l.stagesOf(m) {
		var likely, rest []unit
		for _, u := range l.units[s.pkg] {
			switch {
			case !u.reaches[m.number]:
			case l.isLikely(s, m, u) && u.took < 10*quick:
				likely = append(likely, u)
			case u.took < quick && u.isWhole():
				rest = append(rest, u)
			default:
				slow = append(slow, trialOf(s, u))
			}
		}
		for _, u := range likely {
			trials = append(trials, trialOf(s, u))
		}
		if rest != nil {
			slow = append(slow, trialOf(s, rest...))
		}
	}
	slices.SortStableFunc(slow, func(a, b trial) int { return cmp.Compare(a.limit, b.limit) })
	trials = append(trials, slow...)
	for _, s := range l.stagesOf(m) {
		trials = append(trials, trial{stage: s, limit: l.limits[s.pkg]})
	}
	return trials
}

func trialOf(s stage, units ...unit) trial {
	var names []string
	took := time.Duration(0)
	for _, u := range units {
		names = append(names, regexp.QuoteMeta(u.test))
		took += u.took
	}
	run := "^(" + strings.Join(names, "|") + ")$"
	if sub := units[0].sub; sub != "" {
		run += "/^" + regexp.QuoteMeta(sub) + "$"
	}
	return trial{s, run, limitOf(took), units}
}

// failure returns the first test of a trial that fails, or "". It is run again, in case it is
// flaky. If it then passes, the failure counts only if it fails a third time. A timeout counts
// at once.
func (l *laboratory) failure(ctx context.Context, t trial, m mutant) string {
	out, passed := l.execute(ctx, t.stage, m.number, t.limit, t.run)
	if passed {
		return ""
	}
	test := failing(out)
	again := func() bool {
		_, passed := l.execute(ctx, t.stage, m.number, t.limit, t.run)
		return !passed
	}
	if timedOut(out) || again() || again() {
		l.remember(t, m, test)
		return test
	}
	return ""
}

func (l *laboratory) isLikely(s stage, m mutant, u unit) bool {
	l.lock.Lock()
	defer l.lock.Unlock()
	return slices.ContainsFunc(l.killers[s.pkg+" "+m.file], func(k unit) bool { return k.test == u.test && k.sub == u.sub })
}

// remember puts the unit of the test at the head of a short list.
func (l *laboratory) remember(t trial, m mutant, test string) {
	parent, _, _ := strings.Cut(test, "/")
	i := slices.IndexFunc(t.units, func(u unit) bool { return u.test == parent })
	if i < 0 {
		return // a panic, a timeout or a run of everything
	}
	l.lock.Lock()
	defer l.lock.Unlock()
	key := t.stage.pkg + " " + m.file
	others := slices.DeleteFunc(slices.Clone(l.killers[key]), func(u unit) bool { return u.test == parent && u.sub == t.units[i].sub })
	l.killers[key] = append([]unit{t.units[i]}, others[:min(len(others), 5)]...)
}

// execute runs the tests, or only those that match run, up to the first failure.
func (l *laboratory) execute(ctx context.Context, s stage, number int, limit time.Duration, run string, environment ...string) (out string, passed bool) {
	ctx, stop := context.WithTimeout(ctx, limit+10*time.Second)
	defer stop()
	arguments := []string{"-test.failfast", "-test.timeout=" + limit.String(), "-test.skip=" + s.skip, "-test.run=" + run}
	if number == 0 {
		arguments = append(arguments, "-test.v") // names the subtests
	}
	command := l.command(ctx, s, arguments...)
	command.Env = append(append(os.Environ(), fmt.Sprintf("%s=%d", variable, number)), environment...)
	said, err := command.CombinedOutput()
	return string(said), err == nil
}

// command returns a run of a stage's test program.
func (l *laboratory) command(ctx context.Context, s stage, arguments ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, l.program(s), arguments...)
	command.Dir = filepath.Join(l.top, filepath.FromSlash(s.pkg))
	command.WaitDelay = time.Second
	return command
}

var failed = regexp.MustCompile(`(?m)^( *)--- FAIL: (\S+)`)

// byTimeout is used as the name of the test if the tests did not end in time.
const byTimeout = "by timeout"

// failing returns the first test that failed, with its first failed subtest, or else
// how the tests ended.
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
