package fetch

import (
	"time"

	"token_injector/internal/token"
)

const (
	// leaseMS is how long a holder that is gone keeps the others from fetching.
	leaseMS = 300
	// renewMS leaves the holder two more chances before its lease is over.
	renewMS = 100
	// firstRetryMS is the pause after the first failure; it doubles up to the tick.
	firstRetryMS = 100
	// idleMS is the longest sleep: whoever holds the lease may end it, and the clock may be set, without telling.
	idleMS = 1000
	// slackMS is how far behind the others a VM can be that read the clock, was held up, and then read the lease.
	slackMS = 1000
)

// Fetcher is one VM's part in keeping the token fresh.
type Fetcher struct {
	ID     uint64 // unlike any other VM's, not 0
	TickMS int64
	Token  Cell
	Lease  Cell
	Random func() uint64

	inFlight bool
}

// Start makes the cells. It has to come well before the first Tick, because two VMs that make one at the same time both
// succeed, and the second wipes the first one's value.
func (f *Fetcher) Start() {
	if _, version := f.Lease.Load(); version == 0 {
		f.Lease.Swap(nil, 0)
	}
}

// Tick tells whether this VM is to fetch now; if so, exactly one Done has to follow.
func (f *Fetcher) Tick(nowMS int64) bool {
	data, version := f.Lease.Load()
	l := decodeLease(data)
	if f.inFlight {
		if l.holder == f.ID {
			l.untilMS = nowMS + leaseMS
			f.Lease.Swap(encodeLease(l), version)
		}
		return false
	}
	if version == 0 {
		f.Start()
		return false
	}
	if f.waitMS(l, nowMS) > 0 {
		return false
	}
	l.holder, l.untilMS = f.ID, nowMS+leaseMS
	f.inFlight = f.Lease.Swap(encodeLease(l), version)
	return f.inFlight
}

// Done records how this VM's fetch ended and keeps the token of a success. It returns the pause until the next one and
// whether the fetch before it had ended otherwise.
func (f *Fetcher) Done(t token.Token, outcome Outcome, nowMS int64) (pause time.Duration, news bool) {
	f.inFlight = false
	data, version := f.Lease.Load()
	l := decodeLease(data)
	if outcome == Success {
		put(f.Token, encodeToken(t))
	}
	news = l.last != outcome
	pauseMS := f.TickMS
	if outcome == Success {
		l.failures = 0
	} else {
		l.failures++
		pauseMS = retryMS(l.failures, f.TickMS, f.Random())
	}
	// A holder that was too slow for its lease leaves the new one's alone.
	if l.holder == f.ID {
		f.Lease.Swap(encodeLease(lease{endedMS: nowMS, pauseMS: pauseMS, failures: l.failures, last: outcome}), version)
	}
	return time.Duration(pauseMS) * time.Millisecond, news
}

// Stop gives the lease of a fetch that will not end to the others at once.
func (f *Fetcher) Stop() {
	data, version := f.Lease.Load()
	if l := decodeLease(data); f.inFlight && l.holder == f.ID {
		l.holder, l.untilMS = 0, 0
		f.Lease.Swap(encodeLease(l), version)
	}
}

// WakeMS is the time until the next Tick has something to do, at least 1.
func (f *Fetcher) WakeMS(nowMS int64) int64 {
	if f.inFlight {
		return renewMS
	}
	data, _ := f.Lease.Load()
	return min(max(f.waitMS(decodeLease(data), nowMS), 1), idleMS)
}

// Current returns the token, the zero Token if there was never one.
func (f *Fetcher) Current() token.Token {
	data, _ := f.Token.Load()
	return decodeToken(data)
}

// Last is how the last fetch ended, "" if none did.
func (f *Fetcher) Last() Outcome {
	data, _ := f.Lease.Load()
	return decodeLease(data).last
}

// waitMS is the time until somebody may take the lease. A time too far ahead is the mark of a clock that was set back, and
// counts for nothing.
func (f *Fetcher) waitMS(l lease, nowMS int64) int64 {
	wait := int64(0)
	if l.endedMS <= nowMS+slackMS {
		// A plugin with a longer tick may have had the last turn.
		wait = l.endedMS + min(l.pauseMS, f.TickMS) - nowMS
	}
	if l.holder != 0 && l.untilMS <= nowMS+leaseMS+slackMS {
		wait = max(wait, l.untilMS-nowMS)
	}
	return wait
}

// retryMS doubles with each failure up to the tick. Half of it is left to chance, so that VMs that fetch for themselves
// do not come back all at once.
func retryMS(failures uint32, tickMS int64, random uint64) int64 {
	pause := tickMS
	if shift := failures - 1; shift < 20 {
		pause = min(tickMS, firstRetryMS<<shift)
	}
	half := pause / 2
	return half + int64(random%uint64(half+1))
}
