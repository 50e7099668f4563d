package accesstoken_test

import "github.com/accesstoken/accesstoken/internal/testkit"

const resource = testkit.Resource

var (
	newValidator = testkit.NewValidator
	wantReason   = testkit.WantReason
)

type clock = testkit.Clock
