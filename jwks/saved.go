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
	maxSaved      = 2 << 20         // a document of maxDocument in base64, and the rest
	maxAhead      = 5 * time.Minute // of the file's clock before ours
	recallTimeout = time.Second     // for the disk
)

// saved is what Config.File holds: the keys of the last good answer, and whose
// they are. In the file the SHA-256 of the JSON stands before it, in hex, on a
// line of its own: what was damaged is noticed.
type saved struct {
	Config   string    `json:"config"` // see Config.identity
	ReadAt   time.Time `json:"read_at"`
	Document []byte    `json:"document"`
}

// identity tells configurations apart that may believe different keys, so that
// what a laxer one has saved is worth nothing to a stricter one.
func (c Config) identity() string {
	place := []string{c.URL}
	if c.URL == "" {
		place = []string{c.URL, c.Issuer, c.MetadataURL}
		if c.MetadataKeys != nil {
			place = append(place, hex.EncodeToString(c.MetadataKeys.set.identity[:]))
		}
	}
	text := fmt.Sprintf("%q %t %t %t", place, c.SameOrigin, c.PublicAddressesOnly, c.DangerouslyAllowHTTP)
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// A keeper writes Config.File.
type keeper struct {
	mu      sync.Mutex
	failing bool
}

// keep writes the keys of the last good answer. It runs after the fetch has
// landed, so that nobody waits for the disk. While one is at it the next does
// not queue up: a disk that hangs must not gather them.
func (c *Cache) keep() {
	if c.config.File == "" || !c.keeper.mu.TryLock() {
		return
	}
	defer c.keeper.mu.Unlock()
	c.mu.Lock()
	set, at := c.last.published(), c.state.FetchedAt
	c.mu.Unlock()
	err := writeSaved(c.config, set, at)
	if err != nil && !c.keeper.failing {
		c.safely(func() {
			c.config.Logger.Warn("jwks: the key set is not kept in File", "issuer", c.config.name(), "error", err)
		})
	}
	c.keeper.failing = err != nil
}

// writeSaved replaces the file as a whole: whoever reads sees the old or the
// new one, whenever the power fails. It writes the keys that are used, not the
// document: there may be a private one in there.
func writeSaved(config Config, set *keySet, at time.Time) error {
	document, err := json.Marshal(set.document())
	if err != nil {
		return err
	}
	text, err := json.Marshal(saved{config.identity(), at, document})
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(config.File), ".jwks-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(file, "%x\n%s", sha256.Sum256(text), text)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), config.File)
	}
	if err != nil {
		os.Remove(file.Name())
	}
	return err
}

// A savedSet is what the file held: a set, or why there is none to use.
type savedSet struct {
	set *keySet
	at  time.Time
	err error
}

func (s *savedSet) usable() bool { return s != nil && s.set != nil }

// complaint returns a warning about a file that is there and not used, or nil.
func (s *savedSet) complaint(config Config) func() {
	if s == nil || s.err == nil || errors.Is(s.err, fs.ErrNotExist) {
		return nil
	}
	return func() {
		config.Logger.Warn("jwks: the key set in File is not used", "issuer", config.name(), "error", s.err)
	}
}

// recall returns what the file holds, the first time that it is asked; nil
// afterwards, and without a file. A disk that hangs must not keep the issuer
// from being asked.
func (c *Cache) recall() *savedSet {
	if c.config.File == "" || c.recalled {
		return nil
	}
	c.recalled = true
	read := make(chan *savedSet, 1)
	c.running.Go(func() { read <- readSaved(c.config) })
	late := time.NewTimer(recallTimeout)
	defer late.Stop()
	select {
	case s := <-read:
		return s
	case <-late.C:
		return &savedSet{err: fmt.Errorf("it could not be read within %v", recallTimeout)}
	}
}

func readSaved(config Config) *savedSet {
	file, err := openSaved(config.File)
	if err != nil {
		return &savedSet{err: err}
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxSaved+1))
	if err != nil {
		return &savedSet{err: err}
	}
	s, err := parseSaved(content)
	if err != nil {
		return &savedSet{err: err}
	}
	set, err := s.accept(config)
	return &savedSet{set, s.ReadAt, err}
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

// accept returns the set if this configuration could have read it itself, and
// recently.
func (s saved) accept(config Config) (*keySet, error) {
	switch age := time.Since(s.ReadAt); {
	case s.Config != config.identity():
		return nil, errors.New("it was saved under another configuration")
	case age < -maxAhead:
		return nil, errors.New("it is from the future: one of the clocks is wrong")
	case age >= config.UsableFor:
		return nil, fmt.Errorf("it is older than %v", config.UsableFor)
	}
	set, _, err := readSet(s.Document)
	return set, err
}

// restore uses what the file held, when nothing else is there. c.mu is held.
func (c *Cache) restore(s *savedSet) {
	if !s.usable() || c.usable.Load() != nil {
		return
	}
	left := time.Until(s.at.Add(c.config.UsableFor))
	if left <= 0 { // it has ended meanwhile
		return
	}
	s.set.generation = 1
	c.last = s.set
	c.usable.Store(s.set)
	c.state.FetchedAt, c.state.Restored = s.at, true
	c.expire(min(left, c.config.UsableFor))
}
