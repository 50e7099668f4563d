package main

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/accesstoken/accesstoken/dpop"
)

// A replayStore is a dpop.Store in Redis. You should configure that Redis with
// maxmemory-policy noeviction. If it evicts a proof before the proof expires, an
// attacker can use the proof again.
type replayStore struct{ client *redis.Client }

const replayPrefix = "dpop:"

func (s replayStore) Use(ctx context.Context, use dpop.Use) (first bool, err error) {
	ttl := max(use.Until.Sub(use.Now), time.Millisecond) // a ttl of 0 would mean no expiry
	return s.client.SetNX(ctx, replayPrefix+hex.EncodeToString(use.Key[:]), 1, ttl).Result()
}
