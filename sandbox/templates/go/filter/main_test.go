//go:build !wasm

package main

import (
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/proxytest"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

// compiled is the module that FILTER_WASM names. Without one, the tests run as plain Go.
var compiled = sync.OnceValues(func() (types.VMContext, error) {
	wasm, err := os.ReadFile(os.Getenv("FILTER_WASM"))
	if err != nil {
		return nil, err
	}
	return proxytest.NewWasmVMContext(wasm)
})

// start starts the filter in the SDK's emulation of Envoy: `go test ./...` needs neither Envoy nor Wasm.
func start(t *testing.T, configuration string) (proxytest.HostEmulator, types.OnPluginStartStatus) {
	t.Helper()
	option := proxytest.NewEmulatorOption().WithPluginConfiguration([]byte(configuration))
	if os.Getenv("FILTER_WASM") == "" {
		option = option.WithPluginContext(newPlugin)
	} else {
		module, err := compiled()
		if err != nil {
			t.Fatal(err)
		}
		option = option.WithVMContext(module)
	}
	host, reset := proxytest.NewHostEmulator(option)
	t.Cleanup(reset) // there can be one emulator at a time, so each is of a test of its own
	return host, host.StartPlugin()
}

func TestTheGreetingIsOnRequestAndResponse(t *testing.T) {
	for configuration, want := range map[string][2]string{
		"":                         {"x-wasm-filter", "hello from my filter"},
		`{"greeting": "good day"}`: {"x-wasm-filter", "good day"},
		`{"header": "x-greeting"}`: {"x-greeting", "hello from my filter"},
	} {
		t.Run(configuration, func(t *testing.T) {
			host, status := start(t, configuration)
			if status != types.OnPluginStartStatusOK {
				t.Fatal("not started")
			}
			id := host.InitializeHttpContext()
			host.CallOnRequestHeaders(id, [][2]string{{":path", "/"}, {want[0], "the client's own"}}, true)
			if got := host.GetCurrentRequestHeaders(id); !slices.Equal(got, [][2]string{{":path", "/"}, want}) {
				t.Errorf("the request has %q", got)
			}
			host.CallOnResponseHeaders(id, [][2]string{{":status", "200"}}, true)
			if got := host.GetCurrentResponseHeaders(id); !slices.Equal(got, [][2]string{{":status", "200"}, want}) {
				t.Errorf("the response has %q", got)
			}
		})
	}
}

func TestAMistakeInTheConfigurationFailsTheStart(t *testing.T) {
	for _, configuration := range []string{"[]", "{", `{"greeting": 1}`, `{"greeting": ""}`, `{"greting": "good day"}`} {
		t.Run(configuration, func(t *testing.T) {
			if _, status := start(t, configuration); status != types.OnPluginStartStatusFailed {
				t.Error("it was taken")
			}
		})
	}
}
