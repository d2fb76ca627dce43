"""Pure parsers of what the stack says: taps, log lines, tokens. No I/O."""
