package jwks

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// freshness returns how long after now the set should be fetched again: the answer's own
// freshness lifetime, within bounds, or else config.RefreshAfter. If an answer must not
// be stored (no-store, max-age=0), the result is the lower bound, because the answer's
// keys are held anyway for verifying, and a fetch per request would be useless load.
func freshness(h http.Header, now time.Time, config Config) time.Duration {
	fresh, ok := lifetime(h, now)
	if !ok {
		fresh = config.RefreshAfter
	}
	fresh = min(max(fresh, min(minFresh, config.RefreshAfter)), maxFresh)
	return min(fresh, latestRefresh(config.UsableFor))
}

// lifetime returns the freshness lifetime (RFC 9111 §4.2.1) minus the answer's Age
// (§4.2.3), and whether the answer has one. It ignores s-maxage, because this is a
// private cache.
func lifetime(h http.Header, now time.Time) (time.Duration, bool) {
	if age, ok := cacheControl(h.Values("Cache-Control")); ok {
		used, _ := deltaSeconds(h.Get("Age"))
		return age - used, true
	}
	expires := h.Get("Expires")
	if expires == "" {
		return 0, false
	}
	end, err := http.ParseTime(expires)
	if err != nil {
		return 0, true // RFC 9111 §5.3: an invalid date is in the past
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date // compare the server's clock with itself
	}
	return end.Sub(now), true
}

// cacheControl returns max-age, or the least if there are several. A no-store or no-cache
// counts as max-age 0 (RFC 9111 §5.2.2).
func cacheControl(lines []string) (age time.Duration, found bool) {
	for directive := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		seconds := time.Duration(0)
		switch strings.ToLower(name) {
		case "max-age":
			seconds, _ = deltaSeconds(strings.Trim(value, `"`)) // RFC 9111 §4.2.1: if max-age is invalid, the answer is stale
		case "no-store", "no-cache":
		default:
			continue
		}
		if !found || seconds < age {
			age, found = seconds, true
		}
	}
	return age, found
}

// deltaSeconds reads a number of seconds. If it exceeds 2^31, it counts as 2^31
// (RFC 9111 §1.2.2).
func deltaSeconds(text string) (time.Duration, bool) {
	const forever = 1 << 31
	digits := strings.TrimLeft(text, "0123456789") == ""
	if text == "" || !digits {
		return 0, false
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds > forever {
		seconds = forever
	}
	return time.Duration(seconds) * time.Second, true
}
