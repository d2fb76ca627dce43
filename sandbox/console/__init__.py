"""The control plane of the stack: what Envoy and the services are doing. Only here: fastapi."""
