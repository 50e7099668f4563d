package verify_test

import (
	"encoding/json"
	"fmt"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// The "before" programs of docs/coming-from.md compile with the versions of this module.
// By an overlay, the go command sees each one in a folder that does not exist, so nothing
// is written into the module.
func TestTheProgramsToComeFromCompile(t *testing.T) {
	root, err := filepath.Abs(".")
	must(t, err)
	page := filepath.Join(root, "../../../docs/coming-from.md")
	text, err := os.ReadFile(page)
	must(t, err)
	blocks := regexp.MustCompile("(?ms)^```go\n(// Before: .*?)^```$").FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 5 {
		t.Fatalf("docs/coming-from.md has %d programs from before; want 5", len(blocks))
	}
	replaced, arguments := map[string]string{}, []string{"build", "-overlay", filepath.Join(t.TempDir(), "overlay.json")}
	for i, block := range blocks {
		if formatted, err := format.Source([]byte(block[1])); err != nil || string(formatted) != block[1] {
			t.Errorf("program %d: %v; want it as gofmt has it:\n%s", i, err, formatted)
		}
		name := fmt.Sprintf("before%d", i)
		file := filepath.Join(filepath.Dir(arguments[2]), name+".go")
		must(t, os.WriteFile(file, []byte(block[1]), 0o600))
		replaced[filepath.Join(root, name, "main.go")] = file
		arguments = append(arguments, "./"+name)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	must(t, err)
	must(t, os.WriteFile(arguments[2], overlay, 0o600))
	if output, err := exec.CommandContext(t.Context(), "go", arguments...).CombinedOutput(); err != nil {
		t.Errorf("go build: %v\n%s", err, output)
	}
}
