"""Write, run, see and break Envoy Wasm filters on one machine."""

__version__ = "0.1.0"
