"""Pure parsers of what the stack says: log lines, tokens. No I/O."""
