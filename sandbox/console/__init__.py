"""The control plane of the stack: what Envoy and the services are doing, read-only so far. Only here: fastapi."""
