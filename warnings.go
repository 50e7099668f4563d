package accesstoken

import (
	"log/slog"
	"sync"
)

// warnings tell the operator why genuine tokens of one issuer are refused: once
// for each cause, so that no flood of requests becomes a flood of lines. They
// are given only after the signature was verified or the issuer has answered,
// so that nobody else's text gets into the log.
type warnings struct {
	logger *slog.Logger
	issuer string
	given  sync.Map
}

// give asks for the text only when it is the first time.
func (w *warnings) give(refused *Error, text func() (cause, advice string)) {
	if _, given := w.given.LoadOrStore(refused.detail+refused.advice, true); given { // few, and our own words
		return
	}
	cause, advice := text()
	w.logger.Warn("accesstoken: a genuine token was refused; this is said once for each issuer and cause",
		"issuer", w.issuer, "reason", string(refused.Reason), "cause", cause, "advice", advice)
}
