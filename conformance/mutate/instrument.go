package main

import (
	"bytes"
	"cmp"
	"fmt"
	"go/parser"
	"go/token"
	"slices"
	"strings"
)

// chosenVariable is a variable that is added to every mutated package. It has the
// number of the chosen mutant, or 0.
const chosenVariable = "mutantChosen"

// switchFile is the text of a file that is added to every mutated package.
const switchFile = `package %s

import (
	"fmt"
	"os"
	"reflect"
	"strconv"
	"sync/atomic"
)

var ` + chosenVariable + `, _ = strconv.Atoi(os.Getenv("` + variable + `"))

func mutantIs(number int) bool {
	if mutantReached != nil {
		mutantReach(number)
	}
	return ` + chosenVariable + ` == number
}

var mutantReached, _ = os.OpenFile(os.Getenv("` + reachVariable + `"), os.O_APPEND|os.O_WRONLY, 0)

var mutantsSeen [1 << 14]atomic.Bool

// mutantReach allocates once for each mutant, so that tests of allocations pass.
func mutantReach(number int) {
	if seen := &mutantsSeen[number]; !seen.Load() && !seen.Swap(true) {
		fmt.Fprintln(mutantReached, number)
	}
}

func mutantCase[T any](out bool, value T) T {
	if !out {
		return value
	}
	switch v := reflect.ValueOf(&value).Elem(); {
	case v.Kind() == reflect.String:
		v.SetString(v.String() + "\x00")
	case v.CanInt():
		v.SetInt(^v.Int())
	case v.CanUint():
		v.SetUint(^v.Uint())
	default:
		panic("mutate: a case of a kind that mutantCase cannot take out")
	}
	return value
}

func mutantUnbounded[T any](unbounded bool, first, bounded T) T {
	if unbounded {
		return first
	}
	return bounded
}
`

const (
	// variable is the environment variable from which a test program reads the number of
	// its mutant.
	variable = "MUTANT"

	// reachVariable names the file to which a test program writes the number of each mutant
	// whose code it reaches, a line each. If it is unset, nothing is written.
	reachVariable = "MUTANTS_REACHED"
)

// switches returns switchFile for the package of this source.
func switches(source []byte) []byte {
	tree, err := parser.ParseFile(token.NewFileSet(), "", source, parser.PackageClauseOnly)
	if err != nil {
		return nil // the source was parsed before
	}
	return fmt.Appendf(nil, switchFile, tree.Name.Name)
}

// An insertion is half of a mutant's change.
type insertion struct {
	at, other int // offsets of this half and of the other half
	mutant    int
	closing   bool
	text      string
}

// instrument writes all mutants into their source. A mutant has no effect unless its
// number is chosen. All mutants are compiled at once, so trying one needs no
// compilation. Line numbers do not change.
func instrument(source []byte, mutants []mutant) []byte {
	var insertions []insertion
	for i, m := range mutants {
		is := fmt.Sprintf("mutantIs(%d)", m.number)
		insertions = append(insertions,
			insertion{m.start, m.end, i, false, strings.ReplaceAll(m.before, "$", is)},
			insertion{m.end, m.start, i, true, strings.ReplaceAll(m.after, "$", is)})
	}
	slices.SortFunc(insertions, inside)
	var out bytes.Buffer
	at := 0
	for _, i := range insertions {
		out.Write(source[at:i.at])
		out.WriteString(i.text)
		at = i.at
	}
	out.Write(source[at:])
	return out.Bytes()
}

// inside orders insertions so that changes nest like the code that they change. If two
// changes are in the same place, the first of the mutants is the outer change.
func inside(a, b insertion) int {
	switch {
	case a.at != b.at:
		return cmp.Compare(a.at, b.at)
	case a.closing != b.closing:
		return map[bool]int{true: -1, false: 1}[a.closing]
	case a.other != b.other:
		return cmp.Compare(b.other, a.other)
	case a.closing:
		return cmp.Compare(b.mutant, a.mutant)
	}
	return cmp.Compare(a.mutant, b.mutant)
}
