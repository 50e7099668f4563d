package jwks_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MicahParks/jwkset"

	"github.com/accesstoken/accesstoken/jwks"
)

var errDown = page{err: errors.New("connection refused")}

// keptIn opens a cache that keeps its answers in a file, in a bubble whose
// clock starts in the year 2000, as that of every other bubble.
func keptIn(file string) func(*jwks.Config) {
	return func(c *jwks.Config) { c.File = file }
}

// save makes a file with the keys, whose answer came now.
func save(t *testing.T, file, body string) {
	t.Helper()
	cache := open(t, serve(body), keptIn(file))
	warm(t, cache)
	if err := cache.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestARestartWhileTheIssuerIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "keys")
		save(t, file, ec("a"))
		time.Sleep(10 * time.Hour)
		s := serve("")
		s.set(keysURL, errDown)
		cache := open(t, s, keptIn(file))
		ask(t, cache, "a", found)
		ask(t, cache, "b", unavailable)
		if err := cache.Ready(); err != nil {
			t.Errorf("Ready: got %v; want nil", err)
		}
		state := cache.State()
		if !state.Restored || state.Age.Round(time.Minute) != 10*time.Hour || state.Err == nil || state.Generation != 1 {
			t.Errorf("got %+v; want keys restored, 10h old, with the error of the fetch", state)
		}
		time.Sleep(time.Until(state.UsableUntil) - time.Second)
		ask(t, cache, "a", found)
		time.Sleep(2 * time.Second)
		ask(t, cache, "a", unavailable)
	})
}

func TestARestoredKeyGivesWayToTheIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "keys")
		save(t, file, ec("a"))
		s := serve("")
		s.set(keysURL, errDown)
		cache := open(t, s, keptIn(file))
		ask(t, cache, "a", found)
		s.publish(ec("b"))
		time.Sleep(2 * time.Second)
		ask(t, cache, "b", found)
		time.Sleep(6 * time.Second)
		ask(t, cache, "a", notThere)
		if state := cache.State(); state.Restored || state.Generation != 3 {
			t.Errorf("got %+v; want generation 3, not restored", state)
		}
	})
}

// While the issuer answers, a withdrawn key must not come back from the disk.
func TestTheIssuerIsAskedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "keys")
		save(t, file, ec("a"))
		s := serve(ec("b"))
		s.delay = 1900 * time.Millisecond
		cache := open(t, s, keptIn(file))
		ask(t, cache, "a", notThere)
		ask(t, cache, "b", found)
	})
}

func TestAnIssuerThatHangsDoesNotHoldUpARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "keys")
		save(t, file, ec("a"))
		s := serve("")
		s.delay = time.Hour
		cache := open(t, s, keptIn(file))
		began := time.Now()
		warm(t, cache)
		ask(t, cache, "a", found)
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("took %v; want 2s", took)
		}
	})
}

func TestTheFileFollowsTheIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "keys")
		s := serve("")
		s.set(keysURL, tagged(ec("a"), `"1"`))
		cache := open(t, s, keptIn(file))
		warm(t, cache)
		synctest.Wait()
		first := read(t, file)
		time.Sleep(time.Hour) // 304
		synctest.Wait()
		second := read(t, file)
		if bytes.Equal(first, second) {
			t.Error("an answer that confirms the keys must renew their time in the file")
		}
		s.publish(ec("b"))
		time.Sleep(time.Hour)
		synctest.Wait()
		s.set(keysURL, errDown)
		other := open(t, s, keptIn(file))
		ask(t, other, "b", found)
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("got %v, %v; want mode 0600", info.Mode(), err)
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".jwks-*")); len(left) != 0 {
			t.Errorf("left behind: %q", left)
		}
	})
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func write(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAFileThatIsNotBelieved(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, file string)
		want  string // in the log; empty: nothing is said
	}{
		{"none yet", func(t *testing.T, file string) { os.Remove(file) }, ""},
		{"an empty one", func(t *testing.T, file string) { write(t, file, nil) }, "checksum mismatch"},
		{"one that ends early", func(t *testing.T, file string) {
			content := read(t, file)
			write(t, file, content[:len(content)-1])
		}, "checksum mismatch"},
		{"one with a changed byte", func(t *testing.T, file string) {
			content := read(t, file)
			content[len(content)/2] ^= 1
			write(t, file, content)
		}, "checksum mismatch"},
		{"a key set as it is published", func(t *testing.T, file string) { write(t, file, []byte(ec("a"))) }, "checksum mismatch"},
		{"one without end", func(t *testing.T, file string) { write(t, file, make([]byte, 3<<20)) }, "larger than"},
		{"one that others may write", func(t *testing.T, file string) {
			if err := os.Chmod(file, 0o620); err != nil {
				t.Fatal(err)
			}
		}, "users other than its owner"},
		{"a link", func(t *testing.T, file string) {
			if err := errors.Join(os.Rename(file, file+"2"), os.Symlink(file+"2", file)); err != nil {
				t.Fatal(err)
			}
		}, "symbolic link"},
		{"a folder", func(t *testing.T, file string) {
			if err := errors.Join(os.Remove(file), os.Mkdir(file, 0o700)); err != nil {
				t.Fatal(err)
			}
		}, "regular file"},
		{"one that is too old", func(t *testing.T, file string) { time.Sleep(24 * time.Hour) }, "older than 24h0m0s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "keys")
				save(t, file, ec("a"))
				c.spoil(t, file)
				wantDisbelief(t, c.want, keptIn(file))
			})
		})
	}
	t.Run("that of another URL", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "keys")
			save(t, file, ec("a"))
			wantDisbelief(t, "a different configuration", func(c *jwks.Config) { c.URL, c.File = c.URL+"2", file })
		})
	})
	t.Run("one from the future", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "keys")
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(6 * time.Minute)
			save(t, file, ec("a"))
		})
		synctest.Test(t, func(t *testing.T) { wantDisbelief(t, "in the future", keptIn(file)) })
	})
}

// wantDisbelief opens a cache whose issuer is down, and wants it to have no key
// and to say why.
func wantDisbelief(t *testing.T, want string, change func(*jwks.Config)) {
	t.Helper()
	var log lockedBuffer
	s := serve("")
	s.set(keysURL, errDown)
	s.set(keysURL+"2", errDown)
	cache := open(t, s, func(c *jwks.Config) {
		c.Logger = log.logger()
		change(c)
	})
	ask(t, cache, "a", unavailable)
	synctest.Wait() // nobody waits for the log
	const said = "the key set in File is not used"
	if got := log.String(); strings.Contains(got, said) != (want != "") || !strings.Contains(got, want) {
		t.Errorf("log: got %q; want %q", got, want)
	}
}

// What a laxer configuration has saved must not come back under a stricter one.
func TestAFileOfALaxerConfiguration(t *testing.T) {
	federation := must(jwkset.NewJWKFromKey(&ecKey().PublicKey, jwkset.JWKOptions{}))
	for _, c := range []struct {
		name    string
		tighten func(*jwks.Config)
	}{
		{"one origin", func(c *jwks.Config) { c.SameOrigin = true }},
		{"signed metadata", func(c *jwks.Config) { c.MetadataKeys = jwks.Static(federation) }},
		{"another place of the metadata", func(c *jwks.Config) { c.MetadataURL = issuer + "/metadata" }},
		{"another issuer", func(c *jwks.Config) { c.Issuer = issuer + "/other" }},
		{"public addresses only", func(c *jwks.Config) { c.HTTPClient, c.PublicAddressesOnly, c.Issuer = nil, true, "https://127.0.0.1:1" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "keys")
				s := described("https://elsewhere.example/jwks", nil)
				discovering := func(config *jwks.Config) { config.URL, config.Issuer, config.File = "", issuer, file }
				lax := open(t, s, discovering)
				warm(t, lax)
				lax.Close()
				s.set(metadataURL, errDown)
				if cache := open(t, s, discovering); cache.Warm(t.Context()) != nil {
					t.Error("under the same configuration: got an error; want the keys of the file")
				}
				strict := open(t, s, func(config *jwks.Config) {
					discovering(config)
					c.tighten(config)
				})
				if strict.Warm(t.Context()) == nil {
					t.Error("under the stricter one: got nil; want an error")
				}
			})
		})
	}
}

// An issuer that contradicts the configuration is no outage.
func TestAMismatchBringsNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "keys")
		s := described(keysURL, nil)
		discovering := func(config *jwks.Config) { config.URL, config.Issuer, config.File = "", issuer, file }
		before := open(t, s, discovering)
		warm(t, before)
		before.Close()
		s.set(metadataURL, page{body: `{"issuer":"https://other.example.com","jwks_uri":"` + keysURL + `"}`})
		wantMismatch(t, open(t, s, discovering))
	})
}

func TestAKeyThatRunsOutMeanwhileIsNotRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "keys")
		save(t, file, ec("a"))
		time.Sleep(24*time.Hour - time.Second)
		s := serve("")
		s.delay = time.Hour
		ask(t, open(t, s, keptIn(file)), "a", unavailable)
	})
}

func TestNoPrivateKeyIsSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "keys")
		save(t, file, document(jwk(&ecKey().PublicKey, "a", nil), jwk(&newECKey().PublicKey, "b", members{"d": "c2VjcmV0"})))
		content := read(t, file)
		var saved struct{ Document []byte }
		_, text, _ := bytes.Cut(content, []byte("\n"))
		if err := json.Unmarshal(text, &saved); err != nil || !bytes.Contains(saved.Document, []byte(`"a"`)) || bytes.Contains(saved.Document, []byte("c2VjcmV0")) {
			t.Errorf("got %s, %v; want the public key alone", saved.Document, err)
		}
	})
}

func TestADiskThatFailsIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lockedBuffer
		cache := open(t, serve(ec("a")), func(c *jwks.Config) {
			c.File = filepath.Join(t.TempDir(), "no such folder", "keys")
			c.Logger = log.logger()
		})
		warm(t, cache)
		ask(t, cache, "a", found)
		time.Sleep(5 * time.Hour)
		if got := strings.Count(log.String(), "could not be written to File"); got != 1 {
			t.Errorf("said %d times; want once: %s", got, log.String())
		}
	})
}
