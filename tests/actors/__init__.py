"""Each actor alone under its supervisor, as real processes, its peers played by probes."""
