package jwks

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	maxSaved = 2 << 20         // a document of maxDocument in base64, and the rest
	maxAhead = 5 * time.Minute // of the file's clock before ours
)

// saved is what Config.File holds: the last good answer, and whose it is. In
// the file the SHA-256 of the JSON stands before it, in hex, on a line of its
// own: what was damaged is noticed.
type saved struct {
	Issuer   string    `json:"issuer"`
	URL      string    `json:"url"`
	ReadAt   time.Time `json:"read_at"`
	Document []byte    `json:"document"`
}

// A savedSet is one that was read from the file and may be used.
type savedSet struct {
	set *keySet
	at  time.Time
}

// A keeper writes Config.File.
type keeper struct {
	mu      sync.Mutex
	written time.Time
	failing bool
}

// keep writes the last good answer. It runs after the fetch has landed, so that
// nobody waits for the disk; of two that overlap, the later one stays.
func (c *Cache) keep() {
	if c.config.File == "" {
		return
	}
	c.mu.Lock()
	s := c.answer
	c.mu.Unlock()
	c.keeper.mu.Lock()
	defer c.keeper.mu.Unlock()
	if !s.ReadAt.After(c.keeper.written) {
		return
	}
	err := writeSaved(c.config.File, s)
	if err == nil {
		c.keeper.written = s.ReadAt
	}
	if err != nil && !c.keeper.failing {
		c.config.Logger.Warn("jwks: the key set is not kept in File", "issuer", c.config.name(), "error", err)
	}
	c.keeper.failing = err != nil
}

// writeSaved replaces the file as a whole: whoever reads sees the old or the
// new one, whenever the power fails.
func writeSaved(name string, s saved) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(name), ".jwks-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(file, "%x\n%s", sha256.Sum256(text), text)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), name)
	}
	if err != nil {
		os.Remove(file.Name())
	}
	return err
}

// recall returns what the file holds, the first time that it is asked, if it
// may still be used.
func (c *Cache) recall() *savedSet {
	if c.config.File == "" || c.recalled {
		return nil
	}
	c.recalled = true
	s, err := c.readSaved()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.config.Logger.Warn("jwks: the key set in File is not used", "issuer", c.config.name(), "error", err)
	}
	return s
}

func (c *Cache) readSaved() (*savedSet, error) {
	file, err := openSaved(c.config.File)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxSaved+1))
	if err != nil {
		return nil, err
	}
	s, err := parseSaved(content)
	if err != nil {
		return nil, err
	}
	age := time.Since(s.ReadAt)
	switch {
	case s.Issuer != c.config.Issuer || s.URL != c.config.URL:
		return nil, errors.New("it is of another issuer or URL than configured")
	case age < -maxAhead:
		return nil, errors.New("it is from the future: one of the clocks is wrong")
	case age >= c.config.UsableFor:
		return nil, fmt.Errorf("it is older than %v", c.config.UsableFor)
	}
	set, _, err := readSet(s.Document)
	if err != nil {
		return nil, err
	}
	return &savedSet{set, s.ReadAt}, nil
}

// parseSaved looks at the digest before anything else.
func parseSaved(content []byte) (s saved, err error) {
	sum, text, _ := bytes.Cut(content, []byte("\n"))
	want := sha256.Sum256(text)
	switch {
	case len(content) > maxSaved:
		return s, fmt.Errorf("it is larger than %d bytes", maxSaved)
	case hex.EncodeToString(want[:]) != string(sum):
		return s, errors.New("it is damaged: its digest is another")
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, errors.New("it is not a saved key set")
	}
	return s, nil
}

// restore uses what the file held, when nothing else is there. c.mu is held.
func (c *Cache) restore(s *savedSet) {
	if s == nil || c.usable.Load() != nil {
		return
	}
	s.set.generation = 1
	c.last = s.set
	c.usable.Store(s.set)
	c.state.FetchedAt, c.state.Restored = s.at, true
	c.expire(min(time.Until(s.at.Add(c.config.UsableFor)), c.config.UsableFor))
}
