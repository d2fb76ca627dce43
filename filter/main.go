// Command token_injector is an Envoy Wasm filter that keeps a token from a JWT API at hand and puts it on every response.
package main

import (
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"

	"token_injector/internal/plugin"
)

// The module is a reactor: Envoy calls its exports and never main, so that what has to happen once happens here.
func init() {
	proxywasm.SetPluginContext(plugin.New)
}

func main() {}
