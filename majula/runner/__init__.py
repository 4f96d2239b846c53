"""The main process of a node. It owns what must outlive every actor: locks, listening sockets, the control socket, signals.

The only room that imports all layers. Read in this order:

- `exits`: the exit codes and what they mean; `reference` prints the page of them.
- `plan`: a node's configuration becomes the tree of supervisors and their children.
- `lock`: one node a data directory, and one a run directory.
- `descriptors`: how many each process may have.
- `listeners`: the listening sockets, bound once for the life of the process.
- `handout`: gives them to the children that serve them, again after each restart.
- `turnaway`: closes connections to a gateway in quarantine.
- `tree`: starts the actor system, watches its admin and its root supervisor, knows the roles.
- `readiness`: whether the node serves.
- `status`: what `majula status` shows.
- `control`: the control socket: `status` and `stop`, whatever state the tree is in.
- `lifelog`: one line a lifecycle event on standard error.
- `summary`: what a person sees when the node is up.
- `environment`: takes secrets out of it, once they are read.
- `living`: what of the configuration the runner obeys while it runs, and SIGHUP.
- `words`: what else `python -m majula.runner` does: `check`, `template`, `init`.
- `tokens`: makes a token while no node runs.
- `node`: puts them together: start, serve, restart the tree, drain, stop.

`python -m majula.runner [CONFIG]` runs a node in the foreground.
"""
