"""A real node under mixed traffic for minutes, while its processes are killed and stopped at random.

    python -m tests.soak --minutes 10 --seed 7

In this order: `verdict` is how anything here says that a promise was broken; `plan` draws the faults from a seed; `messages`,
`topics` and `calls` are the traffic of Python clients on every surface, `neighbours` that of programs without our SDK; `upkeep`
makes tokens, revokes them and changes the configuration; `watch` asks for the status and looks at memory; `run` puts all of it
together. One minute of it is a test of every run (`test_soak`).
"""
