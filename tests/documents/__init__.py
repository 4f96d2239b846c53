"""The documents are run: every command and program in them, against real nodes."""
