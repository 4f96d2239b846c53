"""Tokens, scopes, grants and the audit: the cores."""
