"""The supervisor actor with real child processes: `rig` starts one and talks to it, `probe` misbehaves on demand."""
