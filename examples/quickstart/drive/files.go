package drive

import (
	"slices"
	"sync"
)

// files holds the names of the files of all users.
type files struct {
	mu    sync.Mutex
	names map[string][]string // by subject
}

func newFiles() *files { return &files{names: map[string][]string{}} }

// of lists the files of a subject. Every subject starts with the same three files.
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

// delete deletes a file. It returns false if there is no such file.
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

// A listing is the response body of GET /files over net/http and Echo.
type listing struct {
	Owner string   `json:"owner"`
	Files []string `json:"files"`
}
