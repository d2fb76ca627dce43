package main

import (
	"bytes"
	"context"
	"os"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// Envoy allocates what it hands over with `malloc` where a module exports that, and proxytest never does. So this is a host
// that does nothing else: it answers every call for shared data, and every other one with success.
func TestAnswersOfTheHostAreGivenBack(t *testing.T) {
	const answerBytes, requests, mostMemoryBytes = 4096, 20_000, 16 << 20
	for _, compiler := range []string{"tinygo", "go"} {
		t.Run(compiler, func(t *testing.T) {
			wasm, err := os.ReadFile(modulePath(compiler))
			if err != nil {
				t.Fatal(err)
			}
			ctx := context.Background()
			runtime := wazero.NewRuntime(ctx)
			defer runtime.Close(ctx)
			wasi_snapshot_preview1.MustInstantiate(ctx, runtime)
			compiled, err := runtime.CompileModule(ctx, wasm)
			if err != nil {
				t.Fatal(err)
			}
			env := runtime.NewHostModuleBuilder("env")
			for _, f := range compiled.ImportedFunctions() {
				from, name, _ := f.Import()
				if from != "env" {
					continue
				}
				answer := api.GoModuleFunc(func(_ context.Context, _ api.Module, stack []uint64) {
					if len(f.ResultTypes()) > 0 {
						stack[0] = 0
					}
				})
				if name == "proxy_get_shared_data" {
					answer = func(ctx context.Context, m api.Module, stack []uint64) {
						allocate := m.ExportedFunction("malloc")
						if allocate == nil {
							allocate = m.ExportedFunction("proxy_on_memory_allocate")
						}
						at, err := allocate.Call(ctx, answerBytes)
						if err != nil {
							panic(err)
						}
						memory := m.Memory()
						memory.Write(uint32(at[0]), bytes.Repeat([]byte{'0'}, answerBytes))
						memory.WriteUint32Le(uint32(stack[2]), uint32(at[0]))
						memory.WriteUint32Le(uint32(stack[3]), answerBytes)
						memory.WriteUint32Le(uint32(stack[4]), 1)
						stack[0] = 0
					}
				}
				env.NewFunctionBuilder().WithGoModuleFunction(answer, f.ParamTypes(), f.ResultTypes()).Export(name)
			}
			if _, err := env.Instantiate(ctx); err != nil {
				t.Fatal(err)
			}
			m, err := runtime.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithStartFunctions("_initialize"))
			if err != nil {
				t.Fatal(err)
			}
			call := func(name string, arguments ...uint64) {
				t.Helper()
				if _, err := m.ExportedFunction(name).Call(ctx, arguments...); err != nil {
					t.Fatal(err)
				}
			}
			call("proxy_on_context_create", 1, 0)
			call("proxy_on_configure", 1, 0)
			for id := uint64(2); id < requests; id++ {
				call("proxy_on_context_create", id, 1)
				call("proxy_on_response_headers", id, 0, 1)
				call("proxy_on_log", id)
				call("proxy_on_delete", id)
			}
			if size := m.Memory().Size(); size > mostMemoryBytes {
				t.Errorf("%d MiB after %d requests", size>>20, requests)
			}
		})
	}
}
