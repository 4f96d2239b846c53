"""The control actors, each as a real process under a real supervisor; the gateways are played by probes."""
