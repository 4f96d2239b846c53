"""Private messages: acknowledged, in order, once. One core for both ends, run in the SDK, and by a gateway for clients that do
not speak it.

`operations` declares what clients can ask.
"""
