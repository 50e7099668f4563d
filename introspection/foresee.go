package introspection

import (
	"context"
	"fmt"

	"github.com/accesstoken/accesstoken/internal/tokencache"
)

// foresee answers as put would now, for a decision that is only explained (internal/dryrun).
// The call is its own, takes no place in the queue, and neither the breaker nor a cache
// learns of it. An open breaker refuses it like any other.
func (c *Client) foresee(ctx context.Context, key tokencache.Key, token string, options Options) (Response, error) {
	if r, _, _, ok := c.readShared(ctx, token, options); ok {
		return r, nil
	}
	if err := c.breaker.refuses(digestOf(key)); err != nil {
		return Response{}, err
	}
	bounded, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	request, err := c.request(bounded, token)
	if err != nil {
		return Response{}, &failedError{ours, fmt.Errorf("introspection: %w", err)}
	}
	done := make(chan struct{})
	var response Response
	go func() { // the call has time limits of its own, and ends after them
		defer close(done)
		response, err = c.askTwice(request, token, options.Now)
	}()
	select {
	case <-done:
		return response, err
	case <-ctx.Done():
		return Response{}, fmt.Errorf("introspection: %w", ctx.Err())
	}
}
