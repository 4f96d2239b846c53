"""The command line, without a node behind it."""
