package fetch

import (
	"testing"

	"token_injector/internal/token"
)

// A world is some VMs in one process with a clock that steps by a millisecond. Their shared cells are Private ones, which
// swap as Envoy's shared data does; several VMs on one emulator are beyond proxytest.
type world struct {
	nowMS   int64
	vms     []*vm
	calls   []int64 // when each began
	latency int64
	answer  Outcome
}

type vm struct {
	Fetcher
	wakesMS   int64
	answersMS int64 // 0: no call in flight
	stalledMS int64 // does nothing until then
	lateMS    int64 // by how much its reading of the clock is old when it looks at the cells
}

const startMS = 1_800_000_000_000

func newWorld(n int, tickMS int64) *world {
	w := &world{nowMS: startMS, latency: 5, answer: Success}
	shared := [2]Cell{&Private{}, &Private{}}
	for range n {
		w.add(shared, tickMS)
	}
	return w
}

func (w *world) add(cells [2]Cell, tickMS int64) *vm {
	v := &vm{wakesMS: w.nowMS + 1}
	v.Fetcher = Fetcher{ID: uint64(len(w.vms) + 1), TickMS: tickMS, Token: cells[0], Lease: cells[1], Random: func() uint64 { return uint64(w.nowMS) }}
	v.Start()
	w.vms = append(w.vms, v)
	return v
}

func (w *world) run(ms int64) {
	for end := w.nowMS + ms; w.nowMS < end; {
		w.nowMS++
		for _, v := range w.vms {
			if w.nowMS < v.stalledMS {
				continue
			}
			now := w.nowMS - v.lateMS
			if v.answersMS != 0 && w.nowMS >= v.answersMS {
				v.answersMS = 0
				t := token.Token{}
				if w.answer == Success {
					t = token.Token{Value: "t", FetchedMS: w.nowMS}
				}
				v.Done(t, w.answer, now)
				v.wakesMS = w.nowMS + v.WakeMS(now)
			}
			if w.nowMS < v.wakesMS {
				continue
			}
			if v.Tick(now) {
				w.calls = append(w.calls, w.nowMS-startMS)
				v.answersMS = w.nowMS + w.latency
			}
			v.wakesMS = w.nowMS + v.WakeMS(now)
		}
	}
}

func TestOneCallAnIntervalHoweverManyVMs(t *testing.T) {
	for _, n := range []int{1, 2, 5, 9} {
		w := newWorld(n, 1000)
		w.run(10_000)
		if len(w.calls) != 10 {
			t.Errorf("%d VMs: %d calls at %v", n, len(w.calls), w.calls)
		}
		for _, v := range w.vms {
			if v.Current().Value != "t" {
				t.Errorf("a VM of %d has no token", n)
			}
		}
	}
}

func TestAnOldReadingOfTheClockIsNotAClockThatWasSetBack(t *testing.T) {
	w := newWorld(5, 1000)
	for i, v := range w.vms {
		v.lateMS = int64(i * 7)
	}
	w.run(10_000)
	if n := len(w.calls); n < 9 || n > 10 {
		t.Errorf("%d calls at %v", n, w.calls)
	}
}

func TestTheShorterOfTwoTicksHolds(t *testing.T) {
	w := newWorld(2, 15_000) // as of an old version that is kept at hand beside the new one
	w.add([2]Cell{w.vms[0].Token, w.vms[0].Lease}, 1000)
	w.run(10_000)
	if len(w.calls) != 10 {
		t.Errorf("calls at %v", w.calls)
	}
}

func TestTheFirstCallIsAtOnce(t *testing.T) {
	w := newWorld(3, 15_000)
	w.run(100)
	if len(w.calls) != 1 || w.calls[0] > 2 {
		t.Errorf("calls at %v", w.calls)
	}
}

func TestASlowAnswerKeepsTheLease(t *testing.T) {
	w := newWorld(5, 1000)
	w.latency = 4000
	w.run(4100)
	if len(w.calls) != 1 {
		t.Errorf("calls at %v", w.calls)
	}
}

func TestAHolderThatIsGoneHoldsNobodyBackLongerThanItsLease(t *testing.T) {
	w := newWorld(3, 15_000)
	w.latency = 10_000
	w.run(1000)
	for _, v := range w.vms {
		if v.answersMS != 0 {
			v.stalledMS = 1 << 62 // its VM crashed
		}
	}
	w.latency = 5
	w.run(leaseMS + 10)
	if len(w.calls) != 2 || w.vms[2].Current().Value == "" && w.vms[1].Current().Value == "" {
		t.Errorf("calls at %v", w.calls)
	}
}

func TestAStalledHolderDoesNotDisturbTheNextOne(t *testing.T) {
	w := newWorld(2, 1000)
	w.latency = 50
	w.run(10)
	first := w.vms[0]
	if first.answersMS == 0 {
		first = w.vms[1]
	}
	first.stalledMS = w.nowMS + 600 // as when Envoy compiles a module on its thread
	w.run(5000)
	if len(w.calls) != 6 { // one more, at the take-over
		t.Errorf("calls at %v", w.calls)
	}
}

func TestStopGivesTheLeaseAway(t *testing.T) {
	w := newWorld(1, 15_000)
	w.latency = 10_000
	w.run(10)
	old := w.vms[0]
	old.Stop()
	old.stalledMS = 1 << 62
	w.latency = 5
	w.add([2]Cell{old.Token, old.Lease}, 15_000)
	w.run(10)
	if len(w.calls) != 2 || w.vms[1].Current().Value != "t" {
		t.Errorf("calls at %v", w.calls)
	}
}

func TestANewVersionTakesTheTokenOver(t *testing.T) {
	w := newWorld(2, 15_000)
	w.run(1000)
	old := w.vms[0]
	for _, v := range w.vms {
		v.Stop()
		v.stalledMS = 1 << 62
	}
	fresh := w.add([2]Cell{old.Token, old.Lease}, 15_000)
	if fresh.Current().Value != "t" {
		t.Error("the first response would be without a token")
	}
	w.run(13_000)
	if len(w.calls) != 1 {
		t.Errorf("the interval goes on, calls at %v", w.calls)
	}
	w.run(2000)
	if len(w.calls) != 2 {
		t.Errorf("calls at %v", w.calls)
	}
}

func TestAShorterTickNeedNotWaitForTheLongerOnesTurn(t *testing.T) {
	w := newWorld(1, 3_600_000)
	w.run(100)
	w.add([2]Cell{w.vms[0].Token, w.vms[0].Lease}, 1000)
	w.run(1000)
	if len(w.calls) != 2 {
		t.Errorf("calls at %v", w.calls)
	}
}

func TestAClockThatIsSetBackHoldsNobodyBack(t *testing.T) {
	w := newWorld(3, 1000)
	w.run(5500)
	w.nowMS -= 3_600_000
	for _, v := range w.vms {
		v.wakesMS -= 3_600_000 // Envoy's timers do not follow the wall clock
	}
	w.run(2000)
	if n := len(w.calls); n < 8 || n > 9 {
		t.Errorf("calls at %v", w.calls)
	}
}

func TestPerWorkerEachVMFetches(t *testing.T) {
	w := newWorld(0, 1000)
	for range 4 {
		w.add([2]Cell{&Private{}, &Private{}}, 1000)
	}
	w.run(3000)
	if len(w.calls) != 12 {
		t.Errorf("%d calls", len(w.calls))
	}
}

func TestFailuresBackOffUpToTheTickAndASuccessEndsThat(t *testing.T) {
	w := newWorld(3, 5000)
	w.answer = Unreachable
	w.run(60_000)
	for i := 1; i < len(w.calls); i++ {
		pause := w.calls[i] - w.calls[i-1] - w.latency
		most := min(int64(firstRetryMS)<<(i-1), 5000)
		if pause < most/2 || pause > most+5 {
			t.Errorf("pause %d is %d ms, want %d to %d", i, pause, most/2, most)
		}
	}
	if len(w.calls) < 15 || len(w.calls) > 40 {
		t.Errorf("%d calls", len(w.calls))
	}
	w.answer = Success
	w.run(6000)
	w.answer = Reset
	n := len(w.calls)
	w.run(5100)
	if again := w.calls[n+1] - w.calls[n]; again > firstRetryMS+10 {
		t.Errorf("after a success the first retry comes after %d ms", again)
	}
}

func TestAFailureKeepsTheLastGoodToken(t *testing.T) {
	w := newWorld(2, 1000)
	w.run(100)
	w.answer = Timeout
	w.run(5000)
	for _, v := range w.vms {
		if v.Current().Value != "t" || v.Last() != Timeout {
			t.Errorf("%+v after %q", v.Current(), v.Last())
		}
	}
}

func TestRetryPause(t *testing.T) {
	for _, c := range []struct {
		failures uint32
		random   uint64
		want     int64
	}{{1, 0, 50}, {1, 50, 100}, {2, 0, 100}, {3, 0, 200}, {8, 0, 6400}, {9, 0, 7500}, {9, 7500, 15_000}, {1 << 31, 0, 7500}, {^uint32(0), 0, 7500}, {0, 0, 7500}} {
		if got := retryMS(c.failures, 15_000, c.random); got != c.want {
			t.Errorf("%+v: got %d", c, got)
		}
	}
}

func TestRecordsSurviveTheirEncoding(t *testing.T) {
	l := lease{holder: 1 << 63, untilMS: startMS, endedMS: -1, pauseMS: 15_000, failures: 7, last: Missing}
	if got := decodeLease(encodeLease(l)); got != l {
		t.Errorf("%+v", got)
	}
	v := token.Token{Value: "abc", FetchedMS: startMS, ExpiresMS: 5}
	if got := decodeToken(encodeToken(v)); got != v {
		t.Errorf("%+v", got)
	}
	for n := range leaseBytes { // somebody else's bytes under our key
		if decodeLease(make([]byte, n)) != (lease{}) || decodeToken(make([]byte, min(n, 16))) != (token.Token{}) {
			t.Errorf("%d bytes", n)
		}
	}
}

func TestAPrivateCellSwapsAsSharedDataDoes(t *testing.T) {
	c := &Private{}
	if _, version := c.Load(); version != 0 {
		t.Error("there was no value yet")
	}
	if !c.Swap([]byte("a"), 0) || c.Swap([]byte("b"), 7) {
		t.Error("the version is not heeded")
	}
	data, version := c.Load()
	if string(data) != "a" || !c.Swap([]byte("c"), version) || !c.Swap([]byte("d"), 0) {
		t.Errorf("%q", data)
	}
}
