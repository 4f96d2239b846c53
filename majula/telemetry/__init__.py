"""What an operator sees: events, metrics, logs, what a role is doing just now. `operations` declares what clients can ask."""
