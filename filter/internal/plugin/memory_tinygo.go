//go:build tinygo

package plugin

import "unsafe"

// Envoy puts what it hands over into memory from the export `malloc`. TinyGo keeps a book of such memory, so that the
// collector leaves it alone until `free` is called, and the SDK never calls it: each answer of a host call would stay for
// ever. Source: src/runtime/arch_tinygowasm_malloc.go of TinyGo 0.41.1, and 217 bytes a request in Envoy.
//
//go:extern runtime.allocs
var allocs map[*byte]uintptr

// release leaves a host call's answer to the collector, which takes it when nothing refers to it any more. Other hosts
// allocate with proxy_on_memory_allocate; their answers are not in the book and nothing happens.
func release(data []byte) {
	delete(allocs, unsafe.SliceData(data))
}

// releaseHeaders does so for a header map, whose buffer begins with the number of headers and two sizes for each.
// Source: DeserializeMap in proxywasm/internal/serde.go of the SDK.
func releaseHeaders(headers [][2]string) {
	if len(headers) > 0 {
		first := unsafe.Pointer(unsafe.StringData(headers[0][0]))
		delete(allocs, (*byte)(unsafe.Add(first, -(4+8*len(headers)))))
	}
}
