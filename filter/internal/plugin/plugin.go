// Package plugin is the filter's side towards Envoy: contexts, host calls, logs and metrics. What it decides with is in the
// packages config, token and fetch.
package plugin

import (
	"math/rand/v2"
	"time"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"

	"token_injector/internal/config"
	"token_injector/internal/fetch"
	"token_injector/internal/token"
)

// formatKey starts every key in shared data. The number is that of the encoding: modules that differ in it share nothing.
const formatKey = "token_injector/1/"

type plugin struct {
	types.DefaultPluginContext
	config  config.Config
	fetcher fetch.Fetcher
	gauge   shared // holds the ID of the only VM that writes the age
	metrics metrics
	tickMS  uint32 // the timer's period now
	call    [][2]string
}

// New is the plugin context of one configuration in one VM.
func New(uint32) types.PluginContext { return &plugin{} }

// OnPluginStart leaves the first fetch to the first tick. Envoy starts every plugin once more, in a VM that it throws away
// before it could tick: a call from here would be begun and cancelled, with the lease left behind.
func (p *plugin) OnPluginStart(size int) types.OnPluginStartStatus {
	var data []byte
	if size > 0 {
		var err error
		if data, err = proxywasm.GetPluginConfiguration(); err != nil && err != types.ErrorStatusNotFound {
			proxywasm.LogCritical("configuration: can't be read: " + err.Error())
			return types.OnPluginStartStatusFailed
		}
	}
	release(data)
	c, err := config.Parse(data)
	if err != nil {
		proxywasm.LogCritical("configuration: " + err.Error())
		return types.OnPluginStartStatusFailed
	}
	p.config = c
	p.call = [][2]string{
		{":method", "GET"}, {":scheme", "http"}, {":authority", c.Authority}, {":path", c.Path}, {"accept", "*/*"},
	}
	p.fetcher = fetch.Fetcher{ID: rand.Uint64() | 1, TickMS: c.Tick.Milliseconds(), Random: rand.Uint64}
	if c.PerWorker {
		p.fetcher.Token, p.fetcher.Lease = &fetch.Private{}, &fetch.Private{}
	} else {
		p.fetcher.Token, p.fetcher.Lease = shared(formatKey+"token/"+c.Source()), shared(formatKey+"lease/"+c.Source())
	}
	p.fetcher.Start()
	p.metrics = defineMetrics()
	p.claimAge()
	p.setTimer(1)
	proxywasm.LogInfo("token from cluster " + c.Cluster + ", " + c.Authority + c.Path + ", every " + c.Tick.String())
	return types.OnPluginStartStatusOK
}

// OnPluginDone frees the lease, so that a new version of the filter need not wait for it.
func (p *plugin) OnPluginDone() bool {
	if p.fetcher.Lease != nil { // nil: the start failed
		p.fetcher.Stop()
	}
	return true
}

// OnTick is the filter's only clock: fetching, renewing the lease and the age of the token hang on it.
func (p *plugin) OnTick() {
	if p.fetcher.Tick(nowMS()) {
		p.dispatch()
	}
	p.recordAge()
	p.setTimer(p.fetcher.WakeMS(nowMS()))
}

func (p *plugin) dispatch() {
	timeoutMS := uint32(p.config.Timeout.Milliseconds())
	_, err := proxywasm.DispatchHttpCall(p.config.Cluster, p.call, nil, nil, timeoutMS, func(int, int, int) {
		p.answered()
		p.setTimer(p.fetcher.WakeMS(nowMS()))
	})
	switch err {
	case nil:
	case types.ErrorStatusBadArgument:
		p.done(token.Token{}, fetch.NoCluster)
	default: // internal failure: Envoy had its own answer ready at once, which the callback never gets
		p.done(token.Token{}, fetch.Unreachable)
	}
}

func (p *plugin) answered() {
	headers, err := proxywasm.GetHttpCallResponseHeaders()
	if err != nil && err != types.ErrorStatusNotFound {
		proxywasm.LogError("headers of the JWT API's answer: " + err.Error())
	}
	releaseHeaders(headers)
	body := func() string {
		b, _ := proxywasm.GetHttpCallResponseBody(0, 512)
		release(b)
		return string(b)
	}
	p.done(fetch.Judge(headers, body, p.config.ReadHeader, nowMS()))
}

func (p *plugin) done(t token.Token, outcome fetch.Outcome) {
	pause, news := p.fetcher.Done(t, outcome, nowMS())
	p.metrics.fetches[outcome].Increment(1)
	next := ", next fetch in " + pause.String()
	switch {
	case outcome != fetch.Success && p.fetcher.Current().Value == "":
		proxywasm.LogWarn("fetch failed: " + string(outcome) + ", no token yet" + next)
	case outcome != fetch.Success:
		proxywasm.LogWarn("fetch failed: " + string(outcome) + ", the last good token stays" + next)
	case news:
		proxywasm.LogInfo("token fetched" + next)
	default:
		proxywasm.LogDebug("token fetched" + next)
	}
	p.recordAge()
}

func (p *plugin) setTimer(ms int64) {
	if uint32(ms) == p.tickMS {
		return
	}
	if err := proxywasm.SetTickPeriodMilliSeconds(uint32(ms)); err != nil {
		proxywasm.LogError("timer: " + err.Error())
		return
	}
	p.tickMS = uint32(ms)
}

func nowMS() int64 { return time.Now().UnixMilli() }
