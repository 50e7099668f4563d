package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"golang.org/x/time/rate"
)

// A redisStore is an introspection.Store in Redis.
type redisStore struct{ client *redis.Client }

const prefix = "introspection:" // beside whatever else is in that Redis

func newStore(url string) (redisStore, error) {
	options, err := redis.ParseURL(url)
	if err != nil { // which may repeat the password
		return redisStore{}, errors.New("expected REDIS_URL to be like redis://127.0.0.1:6379, rediss://user:password@host:6379/0 or unix:///run/redis.sock")
	}
	options.ContextTimeoutEnabled = true // or a Redis that hangs is waited for longer than we say
	options.MaxRetries = -1              // the endpoint is asked instead
	options.DialerRetries = 1
	// A firewall that forgets a connection answers nothing: what is sent on it is waited for in vain, once for each
	// connection of the pool. So none waits for long, and none is kept for longer than firewalls keep it.
	setUnset(&options.DialTimeout, time.Second)
	setUnset(&options.ReadTimeout, time.Second)
	setUnset(&options.WriteTimeout, time.Second)
	setUnset(&options.ConnMaxIdleTime, time.Minute)
	setUnset(&options.ConnMaxLifetime, 10*time.Minute)
	logging.Disable() // warn says it
	return redisStore{redis.NewClient(options)}, nil
}

// setUnset leaves alone what REDIS_URL says.
func setUnset(option *time.Duration, value time.Duration) {
	if *option == 0 {
		*option = value
	}
}

func (s redisStore) Get(ctx context.Context, name string) ([]byte, error) {
	value, err := s.client.Get(ctx, prefix+name).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return value, err
}

func (s redisStore) Set(ctx context.Context, name string, value []byte, ttl time.Duration) error {
	ttl = max(ttl, time.Millisecond) // Redis counts in those, and go-redis takes 0 for ever
	return s.client.Set(ctx, prefix+name, value, ttl).Err()
}

// readKey does not repeat the secret in its error.
func readKey(text string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("expected STORE_KEY to be base64, of 32 random bytes or more: %w", err)
	}
	if len(key) < 32 {
		return nil, fmt.Errorf("expected STORE_KEY to be base64 of 32 random bytes or more, got %d", len(key))
	}
	return key, nil
}

// An outage is a line a minute, not one a request.
var sometimes = rate.Sometimes{Interval: time.Minute}

func warn(err error) {
	sometimes.Do(func() { slog.Warn("introspection answers are not shared", "error", err) })
}
