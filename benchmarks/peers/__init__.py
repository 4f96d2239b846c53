"""Majula beside other message systems: the same work, by Python clients on both sides, through each.

What a number is:

- Each variant gets a server of its own, started afresh in each round; the variants of a round run in random order. So a change
  of the machine's mood hits all alike, and figures are compared as ratios of medians from one run.
- Topics: one publishing process, subscribers in one to four processes. Flow control is the harness's own and costs the wire
  nothing: subscribers count into shared memory, the publisher stays at most a window (`cases.Case.window`) ahead of the
  slowest. A case counts only if every subscriber got every message in its full size. Rate = all deliveries / (last receipt -
  first publish).
- RPC: an echo, one call at a time, then 64 in flight.
- CPU microseconds per published message (per call), of publisher, server and subscriber apart: steadier than rates on a busy
  machine.
- Cores that the rest of the machine used meanwhile are recorded; the table prefers quiet samples and marks (~) where it had none.

Read in this order: `cases` (the work), `task` (what a child process is told), `counters` (what subscribers write),
`publishing` and `calling` (the two loops), `clients/` (one module a message system), `child` (the process they run in),
`variants` (systems and their servers), `rounds` (the order of everything), `records` (what is kept), `table` (what is printed).
"""
