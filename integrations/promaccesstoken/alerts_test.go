package promaccesstoken_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/integrations/promaccesstoken"
)

// A rule or a panel about a series that does not exist would stay silent for ever.
func TestAlertsAndDashboardNameSeriesThatExist(t *testing.T) {
	labels := map[string][]string{} // of each series
	for _, name := range namesOf(scrape(t, promaccesstoken.Of(filled(2)))) {
		name, rest, _ := strings.Cut(name, "{")
		for _, label := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(rest, -1) {
			labels[name] = append(labels[name], label[1])
		}
		labels[name] = append(labels[name], "job", "instance")
	}
	for _, file := range []string{"alerts.yml", "alerts_test.yml", "dashboard.json"} {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := regexp.MustCompile(`(?m)^\s*(#|description:|summary:).*$`).ReplaceAllString(strings.ReplaceAll(string(raw), `\"`, `"`), "")
		used := regexp.MustCompile(`\b(accesstoken_\w+)(?:\{([^}]*)\})?`).FindAllStringSubmatch(text, -1)
		if len(used) < 10 {
			t.Errorf("%s: got %d series; want those of all rules or panels", file, len(used))
		}
		for _, use := range used {
			if labels[use[1]] == nil {
				t.Errorf("%s: %s does not exist", file, use[1])
			}
			for _, label := range regexp.MustCompile(`(\w+)=~?"`).FindAllStringSubmatch(use[2], -1) {
				if !slices.Contains(labels[use[1]], label[1]) {
					t.Errorf("%s: %s has no label %s", file, use[1], label[1])
				}
			}
		}
	}
}

// Each alert has a case in which it fires, and one in which it does not.
func TestEachAlertHasCases(t *testing.T) {
	rules, err := os.ReadFile("alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	cases, err := os.ReadFile("alerts_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	alerts := regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(string(rules), -1)
	if len(alerts) != 6 {
		t.Errorf("got %d alerts; want 6", len(alerts))
	}
	for _, alert := range alerts {
		silent := regexp.MustCompile(`(?m)alertname: ` + alert[1] + ` \}$`).MatchString(string(cases))
		fires := regexp.MustCompile(`(?m)alertname: ` + alert[1] + `\n +exp_alerts:\n +- exp_labels`).MatchString(string(cases))
		if !silent || !fires {
			t.Errorf("%s: got a silent case: %t, a firing one: %t; want both", alert[1], silent, fires)
		}
	}
}

// Grafana refuses a file that is not JSON, and shows nothing for a panel without an id of
// its own, a place or a query.
func TestTheDashboardIsWellFormed(t *testing.T) {
	raw, err := os.ReadFile("dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		UID, Title    string
		SchemaVersion int
		Panels        []struct {
			ID          int
			Type, Title string
			GridPos     struct{ H, W, X, Y int }
			Targets     []struct{ RefID, Expr string }
		}
	}
	if err := json.Unmarshal(raw, &dashboard); err != nil {
		t.Fatal(err)
	}
	ids, rows := map[int]bool{}, 0
	for _, p := range dashboard.Panels {
		if p.ID == 0 || ids[p.ID] || p.Title == "" || p.GridPos.W == 0 || p.GridPos.H == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("the panel %q has no id of its own, no title or no place: %+v", p.Title, p.GridPos)
		}
		ids[p.ID] = true
		if p.Type == "row" {
			rows++
		} else if len(p.Targets) == 0 || p.Targets[0].Expr == "" {
			t.Errorf("the panel %q has no query", p.Title)
		}
	}
	if dashboard.UID == "" || dashboard.Title == "" || dashboard.SchemaVersion == 0 || rows != 4 {
		t.Errorf("got %q, %q, version %d with %d rows; want a dashboard with 4", dashboard.UID, dashboard.Title, dashboard.SchemaVersion, rows)
	}
}
