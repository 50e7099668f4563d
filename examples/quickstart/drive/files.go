package drive

import (
	"slices"
	"sync"
)

// files holds the names of everybody's files.
type files struct {
	mu    sync.Mutex
	names map[string][]string // by subject
}

func newFiles() *files { return &files{names: map[string][]string{}} }

// of lists a person's files. Everybody begins with the same ones.
func (f *files) of(subject string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.ofLocked(subject))
}

func (f *files) ofLocked(subject string) []string {
	if _, ok := f.names[subject]; !ok {
		f.names[subject] = []string{"beach.jpg", "birthday.jpg", "sunset.jpg"}
	}
	return f.names[subject]
}

// delete reports whether there was such a file.
func (f *files) delete(subject, name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	names := f.ofLocked(subject)
	i := slices.Index(names, name)
	if i < 0 {
		return false
	}
	f.names[subject] = slices.Delete(names, i, i+1)
	return true
}

// A listing is the answer of both HTTP carriers.
type listing struct {
	Owner string   `json:"owner"`
	Files []string `json:"files"`
}
