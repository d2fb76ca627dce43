"""`bundle save` and `bundle load`: all that a machine without a network needs, in one file."""
