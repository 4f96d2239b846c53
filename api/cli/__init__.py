"""The command line.

- `main`: the commands, each loaded when it is used (`lazy`).
- `asking`: which node is asked, by whom, and what an error becomes; `exits`: the exit codes; `show`: tables and harmless text;
  `values`: words of a command line as values.
- `traffic`: pub, sub, call, send, receive. `looking`: clients, topics, services, events, audit. `token`, `config`, `debug` (and
  log): groups of their own.
- `node`: run, stop, init, done by a process of the runner. `status` asks the node's main process (`find`, `control`) and prints
  its answer (`report`), whatever state the node is in.
- `demo`: a private node, a service, a subscriber, and their traffic. `completion`: for shells.

A node is run as a process of its own (`python -m majula.runner`): this package works where only the SDK is wanted, and nothing
here imports an actor.
"""
