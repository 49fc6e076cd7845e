"""The command line: one error boundary and a file per command."""
