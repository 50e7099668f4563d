package report_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/benchmarks/internal/report"
)

func TestMedian(t *testing.T) {
	tests := []struct {
		name   string
		values []float64
		want   float64
	}{
		{"one value", []float64{7}, 7},
		{"an odd number, in no order", []float64{9, 1, 5}, 5},
		{"an even number", []float64{4, 1, 3, 2}, 2.5},
		{"one that is far out", []float64{1, 1000, 2}, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			given := slices.Clone(test.values)
			if got := report.Median(given); got != test.want {
				t.Errorf("got %v; want %v", got, test.want)
			}
			if !slices.Equal(given, test.values) {
				t.Errorf("the values are now %v; want them left in order %v", given, test.values)
			}
		})
	}
}

func TestDuration(t *testing.T) {
	tests := []struct {
		nanoseconds float64
		want        string
	}{
		{0, "0.0 ns"},
		{25.04, "25.0 ns"},
		{99.97, "100 ns"},
		{100, "100 ns"},
		{999.6, "1.00 µs"},
		{1320, "1.32 µs"},
		{9996, "10.0 µs"},
		{72_900, "72.9 µs"},
		{999_990, "1.00 ms"},
		{2_345_678, "2.35 ms"},
		{12_345_678, "12.3 ms"},
		{1_500_000_000, "1.50 s"},
		{75_000_000_000, "75.00 s"},
	}
	for _, test := range tests {
		if got := report.Duration(test.nanoseconds); got != test.want {
			t.Errorf("%v ns: got %q; want %q", test.nanoseconds, got, test.want)
		}
	}
}

const begin, end = "<!-- begin: figures -->", "<!-- end: figures -->"

func TestReplace(t *testing.T) {
	const other = "<!-- begin: other -->\nkept\n<!-- end: other -->\n"
	tests := []struct {
		name, before, want string
	}{
		{"an empty section", "# Title\n" + begin + "\n" + end + "\n" + other, "# Title\n" + begin + "\n\nnew\n\n" + end + "\n" + other},
		{"one that was written before", other + begin + "\n\nold\n\n" + end, other + begin + "\n\nnew\n\n" + end},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := written(t, test.before)
			for range 2 { // the second time changes nothing
				if err := report.Replace(file, "figures", "\nnew\n\n"); err != nil {
					t.Fatal(err)
				}
				if got := read(t, file); got != test.want {
					t.Fatalf("got %q; want %q", got, test.want)
				}
			}
		})
	}
}

func TestReplaceNamesTheMarkerThatIsWrong(t *testing.T) {
	tests := []struct {
		name, content, want string
	}{
		{"none", "text", begin + `" 0 times`},
		{"no begin", end, begin + `" 0 times`},
		{"no end", begin, end + `" 0 times`},
		{"another section", "<!-- begin: others -->\n<!-- end: others -->", begin + `" 0 times`},
		{"two beginnings", begin + begin + end, begin + `" 2 times`},
		{"the end first", end + begin, `after "` + end},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := written(t, test.content)
			err := report.Replace(file, "figures", "new")
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), file) {
				t.Errorf("got %v; want an error that says %q and %q", err, file, test.want)
			}
			if got := read(t, file); got != test.content {
				t.Errorf("the file is now %q; want it as it was", got)
			}
		})
	}
	if err := report.Replace(filepath.Join(t.TempDir(), "absent.md"), "figures", "new"); !os.IsNotExist(err) {
		t.Errorf("without a file got %v; want an error that says so", err)
	}
}

func TestMachine(t *testing.T) {
	got := report.Machine()
	form := regexp.MustCompile(`^go\S+ \w+/\w+, [^,]+.*, [1-9][0-9]* cores(, commit [0-9a-f]{4,}\+?)?$`)
	if !form.MatchString(got) || !strings.HasPrefix(got, runtime.Version()+" "+runtime.GOOS+"/"+runtime.GOARCH) {
		t.Errorf("got %q; want it to match %v", got, form)
	}
}

func TestMachineTellsWhetherFilesHaveChanged(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("GIT_CEILING_DIRECTORIES", filepath.Dir(dir))
	for _, name := range []string{"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"} { // if a git hook runs the tests, these variables point to this repository
		t.Setenv(name, "")
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	if got := report.Machine(); strings.Contains(got, "commit") {
		t.Errorf("outside a repository got %q; want no commit", got)
	}
	git(t, "init", "-q")
	git(t, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "--allow-empty", "-m", "first")
	if got := report.Machine(); strings.HasSuffix(got, "+") || !strings.Contains(got, "commit") {
		t.Errorf("after a commit got %q; want it named, without a +", got)
	}
	if err := os.Mkdir("benchmarks", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"benchmarks/README.md", "benchmarks/verify.svg"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := report.Machine(); strings.HasSuffix(got, "+") {
		t.Errorf("with figures written down got %q; want no +", got)
	}
	if err := os.WriteFile("new", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := report.Machine(); !strings.HasSuffix(got, "+") {
		t.Errorf("with a new file got %q; want a + at its end", got)
	}
}

func git(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, out)
	}
}

func written(t *testing.T, content string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "figures.md")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
