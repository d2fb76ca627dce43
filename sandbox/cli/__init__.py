"""The command line: flags into values, results to a view."""
