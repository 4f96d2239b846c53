"""The command line: `majula node run`, `majula status`, `majula demo`.

- `main`: the commands.
- `find`: which node of this user is meant.
- `control`: one question to a node's control socket.
- `report`: the answer to `status`, for people.
- `demo`: a private node, a service, a subscriber, and their traffic.

A node is run as a process of its own (`python -m majula.runner`): this package works where only the SDK is wanted, and nothing
here imports an actor.
"""
