"""The actors: one thin file a role. Messages and I/O events in, core calls, effects out.

This folder is the package `majula.actors`; a second import name would make second classes of every message.
"""

if __name__ != "majula.actors":
    raise ImportError("import majula.actors: the folder has one import root")
