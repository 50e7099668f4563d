//go:build interop

package interop_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated files: README.md's table, and the recorded shapes of tokens")

// An issuer is one column of the table: a server, and where it does not do what
// the others do.
type issuer struct {
	name    string
	version string
	start   func(t *testing.T) (*server, error) // an error says why it cannot be had on this machine
	record  string                              // the file of its tokens' shapes
	notes   map[string]note                     // by the name of a trial
}

// A note explains a cell that is not what the trial wants.
type note struct {
	cell string // notOffered, or what the trial finds
	why  string
}

// notOffered is the cell of a trial that a server has nothing for.
const notOffered = "–"

// issuers are the columns of the table.
var issuers = []issuer{oidcProvider, ory}

// TestIssuers asks every issuer the same. A cell that is neither what the trial
// wants nor what a note says is a failure, and so is a note that is no longer
// needed.
func TestIssuers(t *testing.T) {
	found := map[string]map[string]string{}
	for _, issuer := range issuers {
		t.Run(issuer.name, func(t *testing.T) {
			found[issuer.name] = issuer.isTried(t)
		})
	}
	t.Logf("what each server did:\n%s", table(func(issuer issuer, trial trial) string { return found[issuer.name][trial.name] }))
}

// isTried fills the issuer's column.
func (i issuer) isTried(t *testing.T) (column map[string]string) {
	column = map[string]string{}
	s, err := i.start(t)
	if err != nil {
		t.Logf("%s is not tried on this machine: %v", i.name, err)
		for _, trial := range trials {
			column[trial.name] = "not tried"
		}
		return column
	}
	if i.record != "" {
		t.Run("shapes of tokens", func(t *testing.T) { s.compareRecord(t, i.record, i.name+" "+i.version) })
	}
	for _, trial := range trials {
		t.Run(trial.name, func(t *testing.T) {
			want := i.cell(trial)
			if want == notOffered {
				column[trial.name] = notOffered
				return
			}
			got := trial.try(t, s)
			column[trial.name] = got
			if got != want {
				t.Errorf("got %s; want %s", got, want)
			}
		})
	}
	return column
}

// cell is what the trial has to find.
func (i issuer) cell(trial trial) string {
	if note, ok := i.notes[trial.name]; ok {
		return note.cell
	}
	return trial.want
}

// TestNotesAreOfUse holds the notes against the trials: each one is about a
// trial that there is, and says something else than the trial.
func TestNotesAreOfUse(t *testing.T) {
	wants := map[string]string{}
	for _, trial := range trials {
		wants[trial.name] = trial.want
	}
	for _, issuer := range issuers {
		for name, note := range issuer.notes {
			if want, ok := wants[name]; !ok || note.cell == want || note.why == "" {
				t.Errorf("%s: the note about %q has no trial, changes nothing or explains nothing", issuer.name, name)
			}
		}
	}
}

const (
	tableBegins = "<!-- The table and its notes are generated: go test -C interop -tags interop -run TestTableInReadme -update -->\n"
	tableEnds   = "<!-- The end of the table. -->\n"
)

// TestTableInReadme holds the table in README.md against the trials and notes,
// which TestIssuers holds against the servers.
func TestTableInReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(readme), tableBegins)
	_, after, ends := strings.Cut(rest, tableEnds)
	if !begins || !ends {
		t.Fatalf("README.md has no lines %q and %q", tableBegins, tableEnds)
	}
	want := before + tableBegins + "\n" + expectations() + "\n" + tableEnds + after
	switch {
	case want == string(readme):
	case *update:
		if err := os.WriteFile("README.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Error("README.md has another table; run: go test -C interop -tags interop -run TestTableInReadme -update .")
	}
}

// expectations is the table as it has to be, with the notes below it.
func expectations() string {
	numbers := map[string]int{} // of the reasons, in the order of the table
	var notes strings.Builder
	cells := table(func(issuer issuer, trial trial) string {
		note, ok := issuer.notes[trial.name]
		if !ok {
			return trial.want
		}
		if numbers[note.why] == 0 {
			numbers[note.why] = len(numbers) + 1
			fmt.Fprintf(&notes, "%d. %s\n", numbers[note.why], note.why)
		}
		return fmt.Sprintf("%s <sup>%d</sup>", note.cell, numbers[note.why])
	})
	return cells + "\n" + notes.String()
}

// table writes a row for each trial and a column for each issuer.
func table(cell func(issuer, trial) string) string {
	var b strings.Builder
	b.WriteString("|")
	for _, issuer := range issuers {
		fmt.Fprintf(&b, " | %s %s", issuer.name, issuer.version)
	}
	fmt.Fprintf(&b, " |\n|---|%s\n", strings.Repeat("---|", len(issuers)))
	for _, trial := range trials {
		fmt.Fprintf(&b, "| %s", trial.name)
		for _, issuer := range issuers {
			fmt.Fprintf(&b, " | %s", cell(issuer, trial))
		}
		b.WriteString(" |\n")
	}
	return b.String()
}

// none has one note for several trials.
func none(why string, names ...string) map[string]note {
	notes := map[string]note{}
	for _, name := range names {
		notes[name] = note{notOffered, why}
	}
	return notes
}

// together joins notes.
func together(all ...map[string]note) map[string]note {
	joined := map[string]note{}
	for _, notes := range all {
		maps.Copy(joined, notes)
	}
	return joined
}
