"""Real nodes as processes, real sockets. `node_rig` starts one and injects faults."""
