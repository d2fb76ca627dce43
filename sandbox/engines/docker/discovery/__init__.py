"""Which Docker engine there is, and a client for it. Nobody needs the SDK to be told that there is none."""
