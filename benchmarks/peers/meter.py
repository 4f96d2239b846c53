"""Wall and CPU time of the measured phase, by side."""

from __future__ import annotations

import time
from typing import NamedTuple

from benchmarks import machine


class Reading(NamedTuple):
    """Seconds; `others_cores` is what processes outside of the benchmark used on average."""

    wall_s: float
    own_s: float
    server_s: float
    partner_s: float
    others_cores: float


class Meter:
    """Starts at once; `read` may be called once or often."""

    def __init__(self, server_pids: list[int], partner_pids: list[int]) -> None:
        self._servers, self._partners = server_pids, partner_pids
        self._server_s, self._partner_s = machine.cpu_s(server_pids), machine.cpu_s(partner_pids)
        self._busy_s, self._own_s = machine.busy_s(), time.process_time()
        self.began_at = time.perf_counter()

    def read(self) -> Reading:
        wall_s = time.perf_counter() - self.began_at
        own_s = time.process_time() - self._own_s
        server_s = machine.cpu_s(self._servers) - self._server_s
        partner_s = machine.cpu_s(self._partners) - self._partner_s
        others_s = machine.busy_s() - self._busy_s - own_s - server_s - partner_s
        return Reading(wall_s, own_s, server_s, partner_s, max(0.0, others_s) / max(wall_s, 1e-9))
