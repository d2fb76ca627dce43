"""The upstream: echoes what reached it, and behaves well or badly as asked. It keeps no state."""
