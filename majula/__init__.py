"""Majula: programs and devices on many machines talk through one mesh of nodes.

Read `ARCHITECTURE.md` first: it names the rooms, the actors and the path of one message.
"""

__version__ = "0.1.0"
