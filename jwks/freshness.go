package jwks

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// freshness returns how long after now an answer is to be asked for again: what
// the answer says, within bounds, or config.RefreshAfter. An answer that must
// not be stored (no-store, max-age=0) is asked for at the lower bound: its keys
// are held for verifying, and a fetch per request would help nobody.
func freshness(h http.Header, now time.Time, config Config) time.Duration {
	said, ok := lifetime(h, now)
	if !ok {
		said = config.RefreshAfter
	}
	said = min(max(said, min(minFresh, config.RefreshAfter)), maxFresh)
	return min(said, latestRefresh(config.UsableFor))
}

// lifetime reads the freshness lifetime (RFC 9111 §4.2.1) less the Age that the
// answer has already (§4.2.3). We are a private cache: s-maxage is not for us.
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
		now = date // the server's clock against itself
	}
	return end.Sub(now), true
}

// cacheControl returns max-age, the least of several; no-store and no-cache
// count as 0 (RFC 9111 §5.2.2).
func cacheControl(lines []string) (age time.Duration, found bool) {
	for directive := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		said := time.Duration(0)
		switch strings.ToLower(name) {
		case "max-age":
			said, _ = deltaSeconds(strings.Trim(value, `"`)) // §4.2.1: an invalid one is stale
		case "no-store", "no-cache":
		default:
			continue
		}
		if !found || said < age {
			age, found = said, true
		}
	}
	return age, found
}

// deltaSeconds reads a number of seconds; one too large for us means for ever
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
