"""What can be said of a Wasm module without running it: its facts, and whether an Envoy would take it."""
