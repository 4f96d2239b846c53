"""Deterministic runs of the cores together, with faults. The same seed gives the same run on every machine.

- `network`: a clock that jumps, and pairs of actors between which messages are delayed, lost, refused or held up.
- `node`: lives, deaths and the registry of simulated actors; runs.
- `tables`: gateways and control actors that exchange tables while everything dies and comes back.
- `claims`: gateways and a router that give out client ids.
- `flow`: clients that send each other private messages over ways that lose, double and overtake.
- `__main__`: `python -m tests.simulation tables --seed 0x5EED --until 900 --trace` replays one run.
"""
