"""Routing: who is where. On one node that is the clients: one id, one session, whatever the gateway.

Read in this order:

- `sessions`: the value of the tables `sessions` and `clients`, and the rule which of two sessions has an id.
- `clients`: the router's part: claims, grants, conflicts.
- `admission`: a gateway's part: it asks the router, and decides by its own table while the router is away.
- `presence`: who has come and gone, told once each.
- `readers`: event streams beside the clients.
"""
