"""Who may do what: tokens, scopes, limits. `operations` declares what clients can ask."""
