package promaccesstoken

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/accesstoken/accesstoken"
)

// Of returns a Collector of numbers that do not change.
func Of(s accesstoken.Stats) prometheus.Collector {
	return collector{func() accesstoken.Stats { return s }}
}
