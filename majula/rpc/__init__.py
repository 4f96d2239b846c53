"""RPC: who provides what, who is chosen, and which calls are under way. Pure cores, used by the gateways and the RPC broker.

Read in this order:

- `services`: the tables `registrations` (one slice a gateway) and `services` (all merged), and a gateway's view of them.
- `choice`: which provider gets a call.
- `pending`: the calls that wait for an answer, their deadlines, and what ends with a caller or a provider.
"""
