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

const prefix = "introspection:" // separates our names from others in the same Redis

func newStore(url string) (redisStore, error) {
	options, err := redis.ParseURL(url)
	if err != nil { // its text may contain the password
		return redisStore{}, errors.New("REDIS_URL is missing or malformed; write it like redis://127.0.0.1:6379, rediss://user:password@host:6379/0 or unix:///run/redis.sock")
	}
	options.ContextTimeoutEnabled = true // otherwise a hanging Redis could block us beyond the context's deadline
	options.MaxRetries = -1              // no retries: without Redis, the introspection endpoint answers
	options.DialerRetries = 1
	// If a firewall has dropped the state of a connection, a command on it gets no response and waits for its timeout,
	// once for each connection of the pool. Timeouts should therefore be short, and connections should be closed
	// before firewalls forget them.
	setUnset(&options.DialTimeout, time.Second)
	setUnset(&options.ReadTimeout, time.Second)
	setUnset(&options.WriteTimeout, time.Second)
	setUnset(&options.ConnMaxIdleTime, time.Minute)
	setUnset(&options.ConnMaxLifetime, 10*time.Minute)
	logging.Disable() // warn logs the errors
	return redisStore{redis.NewClient(options)}, nil
}

// setUnset sets the option if REDIS_URL has not set it.
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
	ttl = max(ttl, time.Millisecond) // the smallest ttl in Redis; 0 would mean no expiry
	return s.client.Set(ctx, prefix+name, value, ttl).Err()
}

// readKey decodes STORE_KEY. Its errors do not contain the secret.
func readKey(text string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("STORE_KEY is not base64; want at least 32 random bytes in base64: %w", err)
	}
	if len(key) < 32 {
		return nil, fmt.Errorf("STORE_KEY has %d bytes; want at least 32 random bytes in base64", len(key))
	}
	return key, nil
}

// sometimes limits the warnings during an outage to one per minute.
var sometimes = rate.Sometimes{Interval: time.Minute}

func warn(err error) {
	sometimes.Do(func() { slog.Warn("cannot share introspection answers through Redis", "error", err) })
}
