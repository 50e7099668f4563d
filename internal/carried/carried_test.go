package carried_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/internal/carried"
)

type key struct{}

func TestTheNodeIsFoundThroughOtherContexts(t *testing.T) {
	node := &carried.Context[string, string, string]{Context: t.Context(), Claims: "alice", By: new(string)}
	ctx, cancel := context.WithCancel(context.WithValue(node, key{}, "value"))
	defer cancel()
	if got := ctx.Value(carried.Key{}); got != node {
		t.Errorf("got %v; want the node", got)
	}
}

func TestTheInnerNodeIsFound(t *testing.T) {
	outer := &carried.Context[string, string, string]{Context: t.Context(), Claims: "alice"}
	inner := &carried.Context[string, string, string]{Context: outer, Claims: "bob"}
	if got := inner.Value(carried.Key{}); got != inner {
		t.Errorf("got %v; want the inner node", got)
	}
	if got := outer.Value(carried.Key{}); got != outer {
		t.Errorf("got %v; want the outer node as before", got)
	}
}

func TestTheNodeHandsOnEverythingElse(t *testing.T) {
	parent, cancel := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
	node := &carried.Context[string, string, string]{Context: parent, Claims: "alice", Credentials: "canary"}
	if got := node.Value(key{}); got != "value" {
		t.Errorf("Value: got %v; want that of the context around it", got)
	}
	if got := node.Value(struct{}{}); got != nil {
		t.Errorf("Value of another key: got %v; want nil", got)
	}
	if got := fmt.Sprint(context.WithValue(node, key{}, "value")); strings.Contains(got, "alice") || strings.Contains(got, "canary") {
		t.Errorf("printed: got %s; want neither claims nor credentials in it", got)
	}
	gone := errors.New("gone")
	cancel(gone)
	if node.Err() == nil || context.Cause(node) != gone {
		t.Errorf("got %v because of %v; want the end of the context around it", node.Err(), context.Cause(node))
	}
}
