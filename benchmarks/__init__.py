"""How fast, how small, how quickly ready: one command a question, a table and JSON as the answer, nothing asserted.

    python -m benchmarks peers|actors|path|start|idle|memory|slow|before|all|table

Read in this order:

- `machine`     what /proc knows: CPU seconds, memory, who else is busy. All figures of CPU and memory come from here.
- `scope`       everything that a benchmark starts lives in one scope, and ends with it, also on Ctrl-C.
- `node`        a Majula node in such a scope.
- `targets`     what Majula has to reach, and how a figure compares with it.
- `report`      tables as text, records as JSON files.
- `peers/`      Majula beside other message systems, the same work through each.
- `actors`      the actor system beside stock Thespian.
- `slow`        whether one slow subscriber slows the others.
- `before`      an earlier commit beside this checkout, in one run.
- `start`, `idle`, `memory`   how soon a node serves, what it costs idle, whether it grows under load.
"""
