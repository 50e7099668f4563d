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
	maxSaved      = 2 << 20         // enough for maxDocument in base64 and the other members
	maxAhead      = 5 * time.Minute // how far read_at can be ahead of our clock
	recallTimeout = time.Second     // for reading the file
)

// saved is the content of Config.File: the keys of the last good answer, and the
// configuration that they were read under. The file's first line is the SHA-256 of the
// JSON that follows, in hex, so that corruption is detected.
type saved struct {
	Config   string    `json:"config"` // see Config.identity
	ReadAt   time.Time `json:"read_at"`
	Document []byte    `json:"document"`
}

// identity returns a hash of the settings that decide which keys are trusted. If a
// configuration is stricter, for example with SameOrigin, it does not use the keys that
// a laxer one has saved.
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

// A saver writes Config.File.
type saver struct {
	mu      sync.Mutex
	failing bool
}

// save writes the keys of the last good answer. It runs after finish, so no request
// waits for the disk. If a write is still running, the next one is skipped, so a
// hanging disk does not pile up goroutines.
func (c *Cache) save() {
	if c.config.File == "" || !c.saver.mu.TryLock() {
		return
	}
	defer c.saver.mu.Unlock()
	c.mu.Lock()
	set, at := c.last.published(), c.state.FetchedAt
	c.mu.Unlock()
	err := writeSaved(c.config, set, at)
	if err != nil && !c.saver.failing {
		c.safely(func() {
			c.config.Logger.Warn("jwks: the key set could not be written to File", "issuer", c.config.name(), "error", err)
		})
	}
	c.saver.failing = err != nil
}

// writeSaved replaces the file atomically, so a reader sees either the old or the new
// content, even after a power failure. It writes the keys that are used instead of the
// issuer's document, because the document may contain a private key.
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

// A savedSet is the set from the file, or the reason why it is not used.
type savedSet struct {
	set *keySet
	at  time.Time
	err error
}

func (s *savedSet) usable() bool { return s != nil && s.set != nil }

// complaint returns a warning if the file exists and is not used; otherwise nil.
func (s *savedSet) complaint(config Config) func() {
	if s == nil || s.err == nil || errors.Is(s.err, fs.ErrNotExist) {
		return nil
	}
	return func() {
		config.Logger.Warn("jwks: the key set in File is not used", "issuer", config.name(), "error", s.err)
	}
}

// recall reads the file on the first call. On later calls, or if File is empty, it
// returns nil. It gives up after recallTimeout, so that a hanging disk does not hold up
// the fetch.
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
		return &savedSet{err: fmt.Errorf("the file could not be read within %v", recallTimeout)}
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
	set, err := s.check(config)
	return &savedSet{set, s.ReadAt, err}
}

// parseSaved verifies the checksum before it parses the JSON.
func parseSaved(content []byte) (s saved, err error) {
	sum, text, _ := bytes.Cut(content, []byte("\n"))
	want := sha256.Sum256(text)
	switch {
	case len(content) > maxSaved:
		return s, fmt.Errorf("the file is larger than %d bytes", maxSaved)
	case hex.EncodeToString(want[:]) != string(sum):
		return s, errors.New("the file is corrupt: checksum mismatch")
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, errors.New("the file is not a saved key set")
	}
	return s, nil
}

// check returns the set if it was read under the same settings, and within UsableFor.
func (s saved) check(config Config) (*keySet, error) {
	switch age := time.Since(s.ReadAt); {
	case s.Config != config.identity():
		return nil, errors.New("the file was saved under a different configuration, for example with another URL, Issuer or SameOrigin")
	case age < -maxAhead:
		return nil, fmt.Errorf("the file's read_at is more than %v in the future; synchronise the clocks", maxAhead)
	case age >= config.UsableFor:
		return nil, fmt.Errorf("the file is older than %v (UsableFor)", config.UsableFor)
	}
	set, _, err := readSet(s.Document)
	return set, err
}

// restore makes the set from the file usable if no keys are held. c.mu is held.
func (c *Cache) restore(s *savedSet) {
	if !s.usable() || c.usable.Load() != nil {
		return
	}
	left := time.Until(s.at.Add(c.config.UsableFor))
	if left <= 0 { // the set has expired since the file was read
		return
	}
	s.set.generation = 1
	c.last = s.set
	c.usable.Store(s.set)
	c.state.FetchedAt, c.state.Restored = s.at, true
	c.expire(min(left, c.config.UsableFor))
}
