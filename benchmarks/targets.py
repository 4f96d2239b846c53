"""What Majula has to reach, and how a figure compares with it. A miss is printed, nothing is asserted."""

from __future__ import annotations

import msgspec


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One figure's target.

    Attributes:
        must: what it has to reach.
        goal: what is aimed at beyond; None where nothing is.
        is_ceiling: smaller is better.
    """

    title: str
    must: float
    goal: float | None = None
    is_ceiling: bool = False
    unit: str = ""

    def shortfall(self, measured: float, bound: float) -> float:
        """How far `measured` is on the wrong side of `bound`, as a share of `bound`; at most 0 where it is reached."""
        return (measured - bound) / bound if self.is_ceiling else (bound - measured) / bound

    def verdict(self, measured: float | None) -> str:
        """`reached`, `goal reached` or `MISSED by 12 %`, in one phrase."""
        if measured is None:
            return "not measured"
        missed = self.shortfall(measured, self.must)
        if missed > 0:
            return f"MISSED by {missed:.0%}"
        if self.goal is None:
            return "reached"
        below_goal = self.shortfall(measured, self.goal)
        return "goal reached" if below_goal <= 0 else f"reached, goal missed by {below_goal:.0%}"

    def row(self, measured: float | None, *, is_quiet: bool = True) -> list[str]:
        """Title, measured, must, goal, verdict: one line of a table headed by `HEAD`; ~ where others disturbed the run."""
        sign = "at most" if self.is_ceiling else "at least"
        return [
            self.title,
            "-" if measured is None else f"{'' if is_quiet else '~'}{measured:.2f}{self.unit}",
            f"{sign} {self.must:g}{self.unit}",
            "-" if self.goal is None else f"{self.goal:g}{self.unit}",
            self.verdict(measured),
        ]


HEAD = ["figure", "measured", "must reach", "goal", "verdict"]


class RatioTarget(Target, frozen=True, kw_only=True):
    """A target for the ratio of two medians of one run: `variant` to `base`, both in the figure `case`.`figure`."""

    variant: str
    base: str
    case: str
    figure: str


def _beside_nats(variant: str, case: str, figure: str, title: str, *, must: float, goal: float | None = None) -> RatioTarget:
    return RatioTarget(
        title=f"{variant} / nats: {title}",
        variant=variant,
        base="nats",
        case=case,
        figure=figure,
        must=must,
        goal=goal,
        is_ceiling=figure == "p50_us",
    )


def _beside_unix(case: str, figure: str, title: str, *, must: float) -> RatioTarget:
    return RatioTarget(
        title=f"majula-tcp / majula-unix: {title}",
        variant="majula-tcp",
        base="majula-unix",
        case=case,
        figure=figure,
        must=must,
        is_ceiling=figure == "p50_us",
    )


PEERS: tuple[RatioTarget, ...] = (
    _beside_nats("majula-unix", "topic128", "deliveries_per_s", "topic 128 B, messages/s", must=2.0, goal=4.0),
    _beside_nats("majula-unix", "topic64k", "mb_per_s", "topic 64 KiB, MB/s", must=1.5, goal=2.0),
    _beside_nats("majula-unix", "fan100", "deliveries_per_s", "fan-out 100, deliveries/s", must=2.0, goal=6.5),
    _beside_nats("majula-unix", "rpc", "p50_us", "RPC p50, one at a time", must=0.8, goal=0.45),
    _beside_nats("majula-unix", "rpc", "calls_per_s", "RPC, 64 in flight, calls/s", must=1.5, goal=3.0),
    _beside_unix("topic16", "deliveries_per_s", "topic 16 B", must=0.8),
    _beside_unix("topic128", "deliveries_per_s", "topic 128 B", must=0.8),
    _beside_unix("topic1k", "deliveries_per_s", "topic 1 KiB", must=0.8),
    _beside_unix("topic64k", "mb_per_s", "topic 64 KiB", must=0.8),
    _beside_unix("fan10", "deliveries_per_s", "fan-out 10", must=0.8),
    _beside_unix("fan100", "deliveries_per_s", "fan-out 100", must=0.8),
    _beside_unix("rpc", "calls_per_s", "RPC, 64 in flight", must=0.8),
    _beside_unix("rpc", "p50_us", "RPC p50", must=1.3),
    _beside_nats("majula-ws-msgpack", "topic128", "deliveries_per_s", "topic 128 B, messages/s", must=0.5),
    _beside_nats("majula-ws-json", "topic128", "deliveries_per_s", "topic 128 B, messages/s", must=0.3),
    _beside_nats("majula-ws-msgpack", "rpc", "p50_us", "RPC p50", must=1.0),
    _beside_nats("majula-ws-json", "rpc", "p50_us", "RPC p50", must=1.0),
)

START = Target(title="command to ready, median", must=1.5, is_ceiling=True, unit=" s")
IDLE_CPU = Target(title="idle node, share of one core", must=2.0, is_ceiling=True, unit=" %")
IDLE_PSS = Target(title="idle node, all processes", must=200.0, is_ceiling=True, unit=" MB")
SLOW = Target(title="p99 of the others beside one slow subscriber, ratio", must=1.5, is_ceiling=True)
GROWTH = Target(title="growth under load, late over early", must=5.0, is_ceiling=True, unit=" %")
