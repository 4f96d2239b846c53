"""Pages of a gateway in a headless Chromium."""
