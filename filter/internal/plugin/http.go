package plugin

import (
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

type stream struct {
	types.DefaultHttpContext
	plugin *plugin
}

func (p *plugin) NewHttpContext(uint32) types.HttpContext { return &stream{plugin: p} }

func (s *stream) OnHttpRequestHeaders(int, bool) types.Action {
	if s.plugin.config.OnRequest {
		s.plugin.inject(proxywasm.ReplaceHttpRequestHeader, proxywasm.RemoveHttpRequestHeader, s.plugin.metrics.request)
	}
	return types.ActionContinue
}

func (s *stream) OnHttpResponseHeaders(int, bool) types.Action {
	if s.plugin.config.OnResponse {
		s.plugin.inject(proxywasm.ReplaceHttpResponseHeader, proxywasm.RemoveHttpResponseHeader, s.plugin.metrics.response)
	}
	return types.ActionContinue
}

// inject writes both headers, or takes away the token's where there is no good token: what the other side sent under that
// name must not pass for ours.
func (p *plugin) inject(replace func(name, value string) error, remove func(name string) error, injected proxywasm.MetricCounter) {
	c := &p.config
	p.check(c.MarkerHeader, replace(c.MarkerHeader, c.MarkerValue))
	t := p.fetcher.Current()
	switch {
	case t.Value == "":
		last := "no fetch has ended"
		if outcome := p.fetcher.Last(); outcome != "" {
			last = "the last fetch failed: " + string(outcome)
		}
		proxywasm.LogDebug(c.TokenHeader + " left out: no token yet, " + last)
		p.metrics.absent.Increment(1)
	case t.Expired(nowMS()):
		proxywasm.LogDebug(c.TokenHeader + " left out: the token has expired")
		p.metrics.expired.Increment(1)
	default:
		p.check(c.TokenHeader, replace(c.TokenHeader, t.Value))
		injected.Increment(1)
		return
	}
	p.check(c.TokenHeader, remove(c.TokenHeader))
}

// check logs a failed host call; the request goes on without that header.
func (p *plugin) check(name string, err error) {
	if err != nil {
		proxywasm.LogError(name + ": " + err.Error())
	}
}
