package main

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/accesstoken/accesstoken/dpop"
)

// A replayStore is a dpop.Store in Redis. That Redis must not evict what has not
// expired (maxmemory-policy noeviction): a proof that it forgets can be used again.
type replayStore struct{ client *redis.Client }

const replayPrefix = "dpop:"

func (s replayStore) Use(ctx context.Context, use dpop.Use) (first bool, err error) {
	ttl := max(use.Until.Sub(use.Now), time.Millisecond) // go-redis takes 0 for ever
	return s.client.SetNX(ctx, replayPrefix+hex.EncodeToString(use.Key[:]), 1, ttl).Result()
}
