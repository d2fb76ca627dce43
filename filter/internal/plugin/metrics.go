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
	const prefix = "token_injector.fetch."
	return metrics{
		fetches: map[fetch.Outcome]proxywasm.MetricCounter{
			fetch.Success:      proxywasm.DefineCounterMetric(prefix + string(fetch.Success)),
			fetch.NoCluster:    proxywasm.DefineCounterMetric(prefix + string(fetch.NoCluster)),
			fetch.Unreachable:  proxywasm.DefineCounterMetric(prefix + string(fetch.Unreachable)),
			fetch.Reset:        proxywasm.DefineCounterMetric(prefix + string(fetch.Reset)),
			fetch.Timeout:      proxywasm.DefineCounterMetric(prefix + string(fetch.Timeout)),
			fetch.Status:       proxywasm.DefineCounterMetric(prefix + string(fetch.Status)),
			fetch.Missing:      proxywasm.DefineCounterMetric(prefix + string(fetch.Missing)),
			fetch.Empty:        proxywasm.DefineCounterMetric(prefix + string(fetch.Empty)),
			fetch.TooLong:      proxywasm.DefineCounterMetric(prefix + string(fetch.TooLong)),
			fetch.ControlChars: proxywasm.DefineCounterMetric(prefix + string(fetch.ControlChars)),
			fetch.Expired:      proxywasm.DefineCounterMetric(prefix + string(fetch.Expired)),
		},
		request:  proxywasm.DefineCounterMetric("token_injector.injected.request"),
		response: proxywasm.DefineCounterMetric("token_injector.injected.response"),
		absent:   proxywasm.DefineCounterMetric("token_injector.skipped.no_token"),
		expired:  proxywasm.DefineCounterMetric("token_injector.skipped.expired"),
		age:      proxywasm.MetricHistogram(proxywasm.DefineGaugeMetric("token_injector.token_age_seconds")),
	}
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
