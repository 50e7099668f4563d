package accesstoken

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/accesstoken/accesstoken/internal/carried"
	"github.com/accesstoken/accesstoken/internal/meter"
	"github.com/accesstoken/accesstoken/jwks"
)

// The values of Decision.Source.
const (
	SourceSignature     = "signature"     // the signature of a JWT was verified
	SourceCache         = "cache"         // a JWT was verified before
	SourceIntrospection = "introspection" // the issuer was asked, now or a moment ago
	SourceVouched       = "vouched"       // Authenticate has vouched for a caller without a token
	SourceCheck         = "check"         // a caller that was accepted before was judged again
)

// A source is a Decision.Source.
type source int

const (
	fromNowhere source = iota
	fromSignature
	fromCache
	fromIntrospection
	fromVouched
	fromCheck
	sources // how many there are
)

func (s source) String() string {
	return [...]string{"", SourceSignature, SourceCache, SourceIntrospection, SourceVouched, SourceCheck}[s]
}

// A ledger counts the decisions of a family. What it counts by comes from the configuration
// and from this package, never from a request, so the number of its counters is bounded by
// the configuration.
type ledger struct {
	hits   atomic.Uint64 // of the token cache, but for those that were accepted as such
	misses atomic.Uint64
	took   meter.Durations // from the lookup of the key to the verified signature

	unnamed label // no issuer is known
	removed label // issuers whose names are not in use any more

	mu        sync.Mutex // guards the rest, and every change of a label
	labels    map[string]*label
	dropped   jwks.Stats // the counters of the key sets of issuers that ResolveIssuer does not name any more
	leaving   [][]*row   // of the labels that were removed last; a request may still count there
	resources []string   // the IDs of the resource servers, by the number of their Validators
}

// A label is the name of an issuer, and the counters for it.
type label struct {
	name string
	rows atomic.Pointer[[]*row] // by place; nil: nothing was counted there yet
	gone bool                   // its counters are those of ledger.removed now
}

// A row has the counters for one resource, issuer and transport.
type row struct {
	accepted []shard         // so many because all processors count here, and hardly do anything else
	refused  []atomic.Uint64 // by reason
	ended    []atomic.Uint64 // by reason
}

// A shard counts accepted requests by their source. It takes a cache line.
type shard struct {
	by [sources]atomic.Uint64
	_  [64 - 8*sources]byte
}

// The names of rows that stand for several issuers or resource servers. nameRemoved is for
// those whose names are not in use any more, and nameOthers for resource servers beyond the
// first mostResources.
const (
	nameResolved = "resolved"
	nameRemoved  = "removed"
	nameOthers   = "others"

	mostResources = 1000
	manyLabels    = 100 // so many, or more, have fewer shards each
)

// A DecisionCount is how many decisions of one kind there were. What a decision is, see
// Config.OnDecide.
type DecisionCount struct {
	// Resource is Config.Resource or Resource.ID. After a thousand of them it is "others".
	Resource string

	// Issuer and Transport are those of the [Decision]. The Issuer is "removed" if
	// SetIssuers has taken its name out of use.
	Issuer, Transport string

	// Outcome is "accepted", "refused" (HTTP 400, 401 or 403), "unavailable" (503: we could
	// not find out), "failed" (500: this server is misconfigured or at fault), "canceled" (the
	// caller's context ended first) or, if an open stream or response was ended, "ended".
	Outcome string

	// Reason is that of the refusal. It is POLICY_DENIED for each reason of your own that you
	// give to Deny. It is empty if the request was accepted, or the caller's context ended.
	Reason Reason

	// Source is that of the Decision if the request was accepted, and otherwise empty.
	Source string

	// Count is the number of these decisions.
	Count uint64
}

// The values of DecisionCount.Outcome.
const (
	outcomeAccepted    = "accepted"
	outcomeRefused     = "refused"
	outcomeUnavailable = "unavailable"
	outcomeFailed      = "failed"
	outcomeCanceled    = "canceled"
	outcomeEnded       = "ended"
)

// counted are the reasons that are counted, sorted. The first, "", is for callers whose
// context ended.
var (
	counted  = append([]Reason{""}, slices.Sorted(maps.Keys(outcomes))...)
	counters = func() map[Reason]int {
		places := map[Reason]int{}
		for place, reason := range counted {
			places[reason] = place
		}
		return places
	}()
)

// counter returns the place of a refusal in counted. An application's own reasons count as
// the one whose answer they get.
func (e *Error) counter() int {
	place, known := counters[e.Reason]
	switch {
	case e.denied:
		return counters[PolicyDenied]
	case !known, e.Reason == "" && e.outcome().status != http.StatusServiceUnavailable:
		return counters[InternalError]
	}
	return place
}

// count counts a decision about the tokens of a label.
func (l *ledger) count(at *label, place int, from source, refused *Error, ended bool) {
	r := l.row(at, place)
	switch {
	case refused == nil:
		r.accepted[meter.Shard(len(r.accepted))].by[from].Add(1)
		return
	case ended:
		r.ended[refused.counter()].Add(1)
	default:
		r.refused[refused.counter()].Add(1)
	}
	if from == fromCache {
		l.hits.Add(1)
	}
}

// row returns the counters of a label in a place.
func (l *ledger) row(at *label, place int) *row {
	if rows := at.rows.Load(); rows != nil && place < len(*rows) && (*rows)[place] != nil {
		return (*rows)[place]
	}
	return l.open(at, place)
}

// open makes the counters of a label in a place, if no other request has done so.
func (l *ledger) open(at *label, place int) *row {
	l.mu.Lock()
	defer l.mu.Unlock()
	of := at
	if at.gone {
		of = &l.removed
	}
	r := l.rowOf(of, place)
	at.rows.Store(of.rows.Load())
	return r
}

// rowOf is row while mu is held.
func (l *ledger) rowOf(at *label, place int) *row {
	var rows []*row
	if old := at.rows.Load(); old != nil {
		rows = slices.Clone(*old) // requests read it without a lock
	}
	if len(rows) <= place {
		rows = append(rows, make([]*row, place+1-len(rows))...)
	}
	if rows[place] == nil {
		rows[place] = l.newRow()
		at.rows.Store(&rows)
	}
	return rows[place]
}

func (l *ledger) newRow() *row {
	shards := meter.Shards()
	if len(l.labels) >= manyLabels {
		shards = min(shards, 4)
	}
	return &row{make([]shard, shards), make([]atomic.Uint64, len(counted)), make([]atomic.Uint64, len(counted))}
}

// take moves the counts of another row to r.
func (r *row) take(from *row) {
	for i := range from.accepted {
		for source := range from.accepted[i].by {
			r.accepted[0].by[source].Add(from.accepted[i].by[source].Swap(0))
		}
	}
	for i := range counted {
		r.refused[i].Add(from.refused[i].Swap(0))
		r.ended[i].Add(from.ended[i].Swap(0))
	}
}

// label returns the label of a name, which several issuers may share.
func (l *ledger) label(name string) *label {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.labels == nil {
		l.labels = map[string]*label{}
	}
	if l.labels[name] == nil {
		l.labels[name] = &label{name: name}
	}
	return l.labels[name]
}

// retire removes the labels whose names are not in use, and adds their counts to those of
// removed, so that sums over all issuers never fall.
func (l *ledger) retire(isUsed func(name string) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.collect()
	l.leaving = nil
	for name, at := range l.labels {
		if isUsed(name) {
			continue
		}
		delete(l.labels, name)
		at.gone = true
		if rows := at.rows.Swap(nil); rows != nil {
			l.leaving = append(l.leaving, *rows)
		}
	}
	l.collect()
}

// collect moves the counts of the labels that were removed last, which a request may still
// have added to. mu is held.
func (l *ledger) collect() {
	for _, rows := range l.leaving {
		for place, r := range rows {
			if r != nil {
				l.rowOf(&l.removed, place).take(r)
			}
		}
	}
}

// place returns the place of the counters for a resource server without a transport.
func (l *ledger) place(resource string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	number := slices.Index(l.resources, resource)
	switch {
	case number < 0 && len(l.resources) >= mostResources:
		number = mostResources
		if len(l.resources) == mostResources {
			l.resources = append(l.resources, nameOthers)
		}
	case number < 0:
		number = len(l.resources)
		l.resources = append(l.resources, resource)
	}
	return number * int(carried.Transports)
}

// decisions returns the counts that are not zero, sorted, and how many decisions rest on
// cached facts.
func (l *ledger) decisions() (all []DecisionCount, cached uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.collect()
	labels := append(slices.Collect(maps.Values(l.labels)), &l.unnamed, &l.removed)
	for _, at := range labels {
		rows := at.rows.Load()
		if rows == nil {
			continue
		}
		for place, r := range *rows {
			if r == nil {
				continue
			}
			of := DecisionCount{Resource: l.resources[place/int(carried.Transports)], Transport: carried.Transport(place % int(carried.Transports)).String(), Issuer: at.name}
			counts, hits := r.read(of)
			all, cached = append(all, counts...), cached+hits
		}
	}
	slices.SortFunc(all, func(a, b DecisionCount) int {
		return cmp.Or(cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Issuer, b.Issuer), cmp.Compare(a.Transport, b.Transport),
			cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Source, b.Source))
	})
	return all, cached + l.hits.Load()
}

// read returns the counts of a row that are not zero, and how many were accepted from the
// cache. of has what they share.
func (r *row) read(of DecisionCount) (counts []DecisionCount, cached uint64) {
	var accepted [sources]uint64
	for i := range r.accepted {
		for from := range accepted {
			accepted[from] += r.accepted[i].by[from].Load()
		}
	}
	for from, n := range accepted {
		if n > 0 {
			of.Outcome, of.Source, of.Count = outcomeAccepted, source(from).String(), n
			counts = append(counts, of)
		}
	}
	of.Source = ""
	for place, reason := range counted {
		of.Reason = reason
		if of.Count = r.refused[place].Load(); of.Count > 0 {
			of.Outcome = outcomeOf(reason)
			counts = append(counts, of)
		}
		if of.Count = r.ended[place].Load(); of.Count > 0 {
			of.Outcome = outcomeEnded
			counts = append(counts, of)
		}
	}
	return counts, accepted[fromCache]
}

// outcomeOf returns the outcome of a refusal.
func outcomeOf(reason Reason) string {
	switch status := outcomes[reason].status; {
	case reason == "":
		return outcomeCanceled
	case status == http.StatusServiceUnavailable:
		return outcomeUnavailable
	case status >= http.StatusInternalServerError:
		return outcomeFailed
	}
	return outcomeRefused
}
