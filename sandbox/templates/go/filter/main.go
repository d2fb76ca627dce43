// Command filter is an Envoy Wasm filter: it puts a greeting on every request to the upstream and on every response.
package main

import (
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

// Envoy calls what the module exports, and never main: what has to happen once happens in init.
func init() {
	proxywasm.SetPluginContext(newPlugin)
}

func main() {}

// plugin is this filter with one configuration. Envoy makes one in each worker thread, so that nothing here is shared and
// nothing needs a lock.
type plugin struct {
	types.DefaultPluginContext // what Envoy asks for and is not answered below
	config                     config
}

func newPlugin(uint32) types.PluginContext { return &plugin{} }

// OnPluginStart gets the plugin configuration of envoy/xds/filter.yaml. If it fails, Envoy goes on with the filter it had.
func (p *plugin) OnPluginStart(size int) types.OnPluginStartStatus {
	var data []byte
	if size > 0 {
		var err error
		if data, err = proxywasm.GetPluginConfiguration(); err != nil {
			proxywasm.LogCritical("configuration: can't be read: " + err.Error())
			return types.OnPluginStartStatusFailed
		}
	}
	var err error
	if p.config, err = parseConfig(data); err != nil {
		proxywasm.LogCritical("configuration: " + err.Error())
		return types.OnPluginStartStatusFailed
	}
	proxywasm.LogInfo("started, the greeting is " + p.config.greeting)
	return types.OnPluginStartStatusOK
}

func (p *plugin) NewHttpContext(uint32) types.HttpContext { return &exchange{config: &p.config} }

// exchange is one request and its response. What the response has to know of the request is kept here.
type exchange struct {
	types.DefaultHttpContext
	config *config
}

// OnHttpRequestHeaders may read and change what the upstream gets. Replace, because the client may have sent such a header.
func (e *exchange) OnHttpRequestHeaders(int, bool) types.Action {
	if err := proxywasm.ReplaceHttpRequestHeader(e.config.header, e.config.greeting); err != nil {
		proxywasm.LogError("request: " + err.Error()) // a filter that only adds something fails no request
	}
	return types.ActionContinue
}

// OnHttpResponseHeaders may read and change what the client gets.
func (e *exchange) OnHttpResponseHeaders(int, bool) types.Action {
	if err := proxywasm.ReplaceHttpResponseHeader(e.config.header, e.config.greeting); err != nil {
		proxywasm.LogError("response: " + err.Error())
	}
	return types.ActionContinue
}
