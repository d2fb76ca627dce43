"""What there is to know about Envoy itself: its admin interface."""
