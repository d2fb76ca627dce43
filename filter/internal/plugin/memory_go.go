//go:build !tinygo

package plugin

// Go has no `malloc` to export: what Envoy hands over is the collector's from the start.

func release([]byte)             {}
func releaseHeaders([][2]string) {}
