"""What `watch` shows: rows, a strip of what goes on beside them, one exchange in full, and the whole terminal."""
