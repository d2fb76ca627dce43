package plugin

import (
	"encoding/binary"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"

	"token_injector/internal/fetch"
)

// metrics exist from the start, so that a zero can be seen.
type metrics struct {
	fetches                            map[fetch.Outcome]proxywasm.MetricCounter
	request, response, absent, expired proxywasm.MetricCounter
	// The SDK's gauges can only add, which needs every writer to know what the others wrote; its histograms record, and
	// recording sets a gauge: in Envoy both are one host call.
	age proxywasm.MetricHistogram
}

func defineMetrics() metrics {
	m := metrics{
		fetches:  make(map[fetch.Outcome]proxywasm.MetricCounter, len(fetch.Outcomes)),
		request:  proxywasm.DefineCounterMetric("token_injector.injected.request"),
		response: proxywasm.DefineCounterMetric("token_injector.injected.response"),
		absent:   proxywasm.DefineCounterMetric("token_injector.skipped.no_token"),
		expired:  proxywasm.DefineCounterMetric("token_injector.skipped.expired"),
		age:      proxywasm.MetricHistogram(proxywasm.DefineGaugeMetric("token_injector.token_age_seconds")),
	}
	for _, outcome := range fetch.Outcomes {
		m.fetches[outcome] = proxywasm.DefineCounterMetric("token_injector.fetch." + string(outcome))
	}
	return m
}

// claimAge makes this VM the one that writes the age: the VM that started last lives longest.
func (p *plugin) claimAge() {
	p.gauge = shared(formatKey + "age")
	for range 8 {
		_, version := p.gauge.Load()
		if p.gauge.Swap(binary.LittleEndian.AppendUint64(nil, p.fetcher.ID), version) {
			return
		}
	}
}

func (p *plugin) recordAge() {
	owner, _ := p.gauge.Load()
	if len(owner) != 8 || binary.LittleEndian.Uint64(owner) != p.fetcher.ID {
		return
	}
	if t := p.fetcher.Current(); t.Value != "" {
		p.metrics.age.Record(uint64(max(nowMS()-t.FetchedMS, 0) / 1000))
	}
}
