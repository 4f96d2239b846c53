"""The synchronous Python client."""
