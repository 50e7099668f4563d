// Command rounds runs the benchmarks of a package several times and prints their
// medians as Markdown tables.
//
//	go run ./benchmarks/rounds -n 6 -bench Validate
//
// In each round, all benchmarks run once. If the machine is slow for a minute, this
// affects one round of some benchmarks. With -count it would affect all runs of one.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/accesstoken/accesstoken/benchmarks/internal/report"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("rounds: ")
	var (
		dir   = flag.String("dir", "benchmarks", "folder of the package")
		n     = flag.Int("n", 6, "number of rounds")
		bench = flag.String("bench", ".", "which benchmarks to run, as in go test -bench")
		each  = flag.Duration("benchtime", 250*time.Millisecond, "time for each benchmark, as in go test -benchtime")
		write = flag.String("write", "", "Markdown file whose tables to replace")
		plots = flag.String("plots", "", "folder to write plots to")
	)
	flag.Parse()
	all, err := run(*dir, *n, *bench, *each)
	if err != nil {
		log.Fatal(err)
	}
	head := fmt.Sprintf("%s; medians of %d rounds of %v.", report.Machine(), *n, *each)
	for _, s := range all.sections() {
		text := head + "\n\n" + s.table + "\n"
		fmt.Println(text)
		if *write == "" {
			continue
		}
		if err := report.Replace(*write, s.name, text); err != nil {
			log.Fatal(err)
		}
	}
	if *plots != "" {
		if err := all.plots(*plots); err != nil {
			log.Fatal(err)
		}
	}
}

// run compiles the package's tests once and runs its benchmarks n times.
func run(dir string, n int, bench string, each time.Duration) (*results, error) {
	folder, err := os.MkdirTemp("", "rounds")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	program := filepath.Join(folder, "rounds.test")
	if _, err := output(dir, "go", "test", "-c", "-o", program, "."); err != nil {
		return nil, err
	}
	all := &results{rows: map[string]*row{}}
	for round := range n {
		log.Printf("round %d of %d", round+1, n)
		out, err := output(dir, program, "-test.run=^$", "-test.bench="+bench, "-test.benchmem", "-test.benchtime="+each.String())
		if err != nil {
			return nil, err
		}
		all.read(string(out))
	}
	return all, nil
}

func output(dir, name string, args ...string) ([]byte, error) {
	command := exec.Command(name, args...)
	command.Dir = dir
	out, err := command.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", filepath.Base(name), err, out)
	}
	return out, nil
}
