// Command deeds is an Envoy Wasm filter for tests: its plugin configuration says what it does to every request and response,
// so that one compiled module serves every case.
//
// A line is a deed: `request|response VERB ARGUMENT…`; they are done in that order, while the headers pass. An argument is
// percent-decoded, and so can hold any byte. The verbs are in deeds.go.
package main

import (
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

// Envoy calls the exports of the module and never main.
func init() {
	proxywasm.SetPluginContext(func(uint32) types.PluginContext { return &plugin{} })
}

func main() {}

type plugin struct {
	types.DefaultPluginContext
	onRequest, onResponse []deed
}

func (p *plugin) OnPluginStart(int) types.OnPluginStartStatus {
	text, err := proxywasm.GetPluginConfiguration()
	if err == nil || err == types.ErrorStatusNotFound { // not found: there is none
		p.onRequest, p.onResponse, err = parse(string(text))
	}
	if err != nil {
		proxywasm.LogCritical("configuration: " + err.Error())
		return types.OnPluginStartStatusFailed
	}
	return types.OnPluginStartStatusOK
}

func (p *plugin) NewHttpContext(uint32) types.HttpContext { return &stream{plugin: p} }

// stream is one request and its response. The bodies are those that a deed puts in place of what came.
type stream struct {
	types.DefaultHttpContext
	plugin                    *plugin
	requestBody, responseBody *string
	request                   [][2]string // headers as they came: on the way back Envoy does not tell them
	replied                   bool
}

func (s *stream) asked(name string) bool {
	for _, header := range s.request {
		if header[0] == name {
			return true
		}
	}
	return false
}

func (s *stream) OnHttpRequestHeaders(int, bool) types.Action {
	s.request, _ = proxywasm.GetHttpRequestHeaders()
	for _, d := range s.plugin.onRequest {
		check(d.verb.do(requestHeaders, d.arguments, s))
	}
	if s.replied {
		return types.ActionPause
	}
	return types.ActionContinue
}

func (s *stream) OnHttpResponseHeaders(int, bool) types.Action {
	for _, d := range s.plugin.onResponse {
		check(d.verb.do(responseHeaders, d.arguments, s))
	}
	return types.ActionContinue
}

func (s *stream) OnHttpRequestBody(_ int, end bool) types.Action {
	return replace(s.requestBody, end, proxywasm.ReplaceHttpRequestBody)
}

func (s *stream) OnHttpResponseBody(_ int, end bool) types.Action {
	return replace(s.responseBody, end, proxywasm.ReplaceHttpResponseBody)
}

// replace holds a body back until all of it is there, if another is to take its place.
func replace(body *string, end bool, put func([]byte) error) types.Action {
	if body == nil {
		return types.ActionContinue
	}
	if !end {
		return types.ActionPause
	}
	check(put([]byte(*body)))
	return types.ActionContinue
}

func check(err error) {
	if err != nil {
		proxywasm.LogError(err.Error())
	}
}
