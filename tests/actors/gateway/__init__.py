"""The gateway as a process: `fragile` is one that fails on order, `rig` two of them in a tree, `test_gateway` what clients
see."""
