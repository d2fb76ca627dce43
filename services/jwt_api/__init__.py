"""The JWT API: hands out short-lived, really signed tokens to Envoy. It verifies none and knows no users."""
