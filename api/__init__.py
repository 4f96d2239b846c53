"""The edges: what the outside touches (native port, HTTP, WebSocket, SDK, CLI).

This folder is the package `majula.api`; a second import name would make second classes of every message.
"""

if __name__ != "majula.api":
    raise ImportError("import majula.api: the folder has one import root")
