//go:build promtool

package promaccesstoken_test

import (
	"os/exec"
	"testing"
)

// make alerts runs this test with a promtool.
func TestAlertsFire(t *testing.T) {
	for _, arguments := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		if output, err := exec.CommandContext(t.Context(), "promtool", arguments...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", arguments, err, output)
		}
	}
}
