package main

import (
	"bytes"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/proxytest"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"

	"token_injector/internal/plugin"
)

// Every test runs three times: the packages as Go, the module that TinyGo built and the one that Go built. FILTER_MODULES
// names the folder of the modules, prebuilt/ by default.
//
// proxytest is one VM with one plugin context, its dispatch never fails, its replace and remove know a header once, and its
// modules live on a clock of 2022 that steps by a millisecond a reading. Several VMs are tested in internal/fetch; what a
// dispatch can fail with, forged duplicates and real time need Envoy.

// mark is in every token that a test hands out, so that a log with a token in it is found.
const mark = "s3cr3t"

const (
	tokenA  = "Bearer a-" + mark
	tokenB  = "Bearer b-" + mark
	auth    = "x-auth"
	marker  = "x-wasm-filter"
	greeted = "hello from wasm"
)

// logged is all that the emulator logged. It prints every line at once and keeps a view of the module's memory, which
// changes later, so that only the print can be trusted.
var logged bytes.Buffer

func TestMain(m *testing.M) {
	log.SetFlags(0)
	log.SetOutput(&logged)
	code := m.Run()
	if strings.Contains(logged.String(), mark) {
		fmt.Println("FAIL: a token was logged")
		code = 1
	}
	if flag.Lookup("test.run").Value.String() == "" && !strings.Contains(logged.String(), "proxy_debug_log: ") {
		fmt.Println("FAIL: the log was not seen")
		code = 1
	}
	os.Exit(code)
}

var modules sync.Map // file → types.VMContext, because to compile one takes seconds

func modulePath(compiler string) string {
	folder := os.Getenv("FILTER_MODULES")
	if folder == "" {
		folder = "prebuilt"
	}
	return filepath.Join(folder, "token_injector."+compiler+".wasm")
}

func module(t *testing.T, compiler string) types.VMContext {
	file := modulePath(compiler)
	if vm, ok := modules.Load(file); ok {
		return vm.(types.VMContext)
	}
	wasm, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	vm, err := proxytest.NewWasmVMContext(wasm)
	if err != nil {
		t.Fatal(err)
	}
	modules.Store(file, vm)
	return vm
}

// envoy is the emulator with a plugin in it.
type envoy struct {
	proxytest.HostEmulator
	t     *testing.T
	build string
	from  int // of logged
}

// eachBuild runs a test in all three builds with a plugin of that configuration, not started.
func eachBuild(t *testing.T, configuration string, test func(e *envoy)) {
	for _, build := range []string{"source", "tinygo", "go"} {
		t.Run(build, func(t *testing.T) {
			option := proxytest.NewEmulatorOption().WithPluginConfiguration([]byte(configuration))
			if build == "source" {
				option = option.WithPluginContext(plugin.New)
			} else {
				option = option.WithVMContext(module(t, build))
			}
			from := logged.Len()
			host, reset := proxytest.NewHostEmulator(option)
			defer reset()
			test(&envoy{host, t, build, from})
		})
	}
}

func (e *envoy) start() {
	e.t.Helper()
	if e.StartVM() != types.OnVMStartStatusOK || e.StartPlugin() != types.OnPluginStartStatusOK {
		e.t.Fatal("start refused: ", e.logs("critical"))
	}
}

// logs are the texts of one level so far.
func (e *envoy) logs(level string) (texts []string) {
	for _, line := range strings.Split(logged.String()[e.from:], "\n") {
		if text, ok := strings.CutPrefix(line, "proxy_"+level+"_log: "); ok {
			texts = append(texts, text)
		}
	}
	return texts
}

func (e *envoy) wantLog(level, part string) {
	e.t.Helper()
	if !strings.Contains(strings.Join(e.logs(level), "\n"), part) {
		e.t.Errorf("no %s log with %q in %q", level, part, e.logs(level))
	}
}

func (e *envoy) calls() []proxytest.HttpCalloutAttribute {
	return e.GetCalloutAttributesFromContext(proxytest.PluginContextID)
}

// wait lets time pass where it does not pass with each reading of the clock.
func (e *envoy) wait() {
	if e.build == "source" {
		time.Sleep(time.Millisecond)
	}
}

// call ticks until a call is begun.
func (e *envoy) call() proxytest.HttpCalloutAttribute {
	e.t.Helper()
	before := len(e.calls())
	for range 5000 {
		if e.Tick(); len(e.calls()) > before {
			return e.calls()[before]
		}
		e.wait()
	}
	e.t.Fatal("no call")
	panic("unreachable")
}

// fetch lets the next call be answered so.
func (e *envoy) fetch(body string, headers ...[2]string) {
	e.t.Helper()
	e.CallOnHttpCallResponse(e.call().CalloutID, headers, nil, []byte(body))
}

func (e *envoy) fetchToken(token string) {
	e.t.Helper()
	e.fetch("", [2]string{":status", "200"}, [2]string{"authorization", token})
}

// request sends one through and returns the headers after the filter on both ways.
func (e *envoy) request(requestHeaders, responseHeaders [][2]string) (request, response [][2]string) {
	e.t.Helper()
	id := e.InitializeHttpContext()
	if e.CallOnRequestHeaders(id, requestHeaders, true) != types.ActionContinue ||
		e.CallOnResponseHeaders(id, responseHeaders, true) != types.ActionContinue {
		e.t.Error("the filter held the request up")
	}
	// A copy, because these are views of the module's memory too.
	request, response = clone(e.GetCurrentRequestHeaders(id)), clone(e.GetCurrentResponseHeaders(id))
	e.CompleteHttpContext(id)
	return request, response
}

func clone(headers [][2]string) (copied [][2]string) {
	for _, h := range headers {
		copied = append(copied, [2]string{strings.Clone(h[0]), strings.Clone(h[1])})
	}
	return copied
}

func (e *envoy) response() [][2]string {
	e.t.Helper()
	_, response := e.request([][2]string{{":path", "/"}}, [][2]string{{":status", "200"}})
	return response
}

func (e *envoy) want(headers [][2]string, name string, values ...string) {
	e.t.Helper()
	var got []string
	for _, h := range headers {
		if h[0] == name {
			got = append(got, h[1])
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(values) {
		e.t.Errorf("%s: got %q, want %q", name, got, values)
	}
}

func (e *envoy) wantCount(name string, want uint64) {
	e.t.Helper()
	if got, err := e.GetCounterMetric("token_injector." + name); err != nil || got != want {
		e.t.Errorf("%s: got %d, want %d, %v", name, got, want, err)
	}
}
