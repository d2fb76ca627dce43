"""The compilers of a filter: found, never installed. Knows nothing of engines and of Envoy."""
