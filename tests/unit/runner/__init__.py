"""The parts of the main process, each by itself."""
