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

var update = flag.Bool("update", false, "write the generated files: README.md's table, ORACLES.md, and the recorded shapes of tokens")

// A column of the table is a server, with notes where it differs from the others.
type column struct {
	name    string
	version string
	start   func(t *testing.T) (*server, error) // the error says why this machine cannot run the server
	record  string                              // the file of its tokens' shapes
	notes   map[string]note                     // by the name of a trial
}

// A note explains a cell that is not what the trial expects.
type note struct {
	cell string // notOffered, or what the trial finds
	why  string
}

// Texts of several notes.
const (
	noSuchThing = "It does not have this feature."
	otherType   = "The typ of its tokens is JWT, so its profile is needed."
	oneDocument = "There is no document at `/.well-known/oauth-authorization-server`, but the validator finds the other one."
)

// notOffered is the cell of a trial for which a server has no feature.
const notOffered = "–"

var columns = []column{oidcProviderColumn, hydraColumn, keycloakColumn, zitadelColumn}

// TestIssuers runs the same trials with every issuer. It fails if a cell is neither what
// the trial expects nor what a note says, or if a note is no longer needed.
func TestIssuers(t *testing.T) {
	found := map[string]map[string]string{}
	for _, c := range columns {
		t.Run(c.name, func(t *testing.T) {
			found[c.name] = c.isTried(t)
		})
	}
	t.Logf("what each server did:\n%s", table(func(c column, trial trial) string { return found[c.name][trial.name] }))
}

// isTried fills the column.
func (c column) isTried(t *testing.T) (cells map[string]string) {
	cells = map[string]string{}
	s, err := c.start(t)
	if err != nil {
		t.Logf("%s is not tried on this machine: %v", c.name, err)
		for _, trial := range trials {
			cells[trial.name] = "not tried"
		}
		return cells
	}
	if c.record != "" {
		t.Run("shapes of tokens", func(t *testing.T) { s.compareRecord(t, c.record, c.name+" "+c.version) })
	}
	for _, trial := range trials {
		t.Run(trial.name, func(t *testing.T) {
			want := c.cell(trial)
			if want == notOffered {
				cells[trial.name] = notOffered
				return
			}
			got := trial.try(t, s)
			cells[trial.name] = got
			if got != want {
				t.Errorf("got %s; want %s", got, want)
			}
		})
	}
	return cells
}

// cell is what the trial has to find.
func (c column) cell(trial trial) string {
	if note, ok := c.notes[trial.name]; ok {
		return note.cell
	}
	return trial.want
}

// TestNotesAreOfUse checks that each note is about an existing trial, and has a different
// cell than the trial expects.
func TestNotesAreOfUse(t *testing.T) {
	wants := map[string]string{}
	for _, trial := range trials {
		wants[trial.name] = trial.want
	}
	for _, c := range columns {
		for name, note := range c.notes {
			if want, ok := wants[name]; !ok || note.cell == want || note.why == "" {
				t.Errorf("%s: the note about %q has no trial, changes nothing or explains nothing", c.name, name)
			}
		}
	}
}

// TestTableInReadme compares the table in README.md with the trials and notes, which
// TestIssuers compares with the servers.
func TestTableInReadme(t *testing.T) {
	compareSection(t, "README.md", "TestTableInReadme", expectations())
}

// compareSection fails if a page has another text in the section that a test generates.
// With -update it writes the section.
func compareSection(t *testing.T, file, test, text string) {
	t.Helper()
	begins := "<!-- Generated: go test -C interop -tags interop -run ^" + test + "$ -update . -->\n"
	ends := "<!-- The end of what is generated. -->\n"
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(page), begins)
	_, after, closed := strings.Cut(rest, ends)
	if !found || !closed {
		t.Fatalf("%s has no lines %q and %q", file, begins, ends)
	}
	want := before + begins + "\n" + text + "\n" + ends + after
	switch {
	case want == string(page):
	case *update:
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s has another section; run: go test -C interop -tags interop -run ^%s$ -update .", file, test)
	}
}

// expectations is the table as it has to be, with the notes below it.
func expectations() string {
	numbers := map[string]int{} // of the reasons, in the order of the table
	var notes strings.Builder
	cells := table(func(c column, trial trial) string {
		note, ok := c.notes[trial.name]
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

// table writes a row for each trial and a column for each c.
func table(cell func(column, trial) string) string {
	var b strings.Builder
	b.WriteString("|")
	for _, c := range columns {
		fmt.Fprintf(&b, " | %s %s", c.name, c.version)
	}
	fmt.Fprintf(&b, " |\n|---|%s\n", strings.Repeat("---|", len(columns)))
	for _, trial := range trials {
		fmt.Fprintf(&b, "| %s", trial.name)
		for _, c := range columns {
			fmt.Fprintf(&b, " | %s", cell(c, trial))
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
