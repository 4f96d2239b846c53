"""The clients of the node with their queues, rates and slowness, from what the gateways tell of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from operator import attrgetter
from typing import Final

from msgspec import Struct

from majula.messages.base import Role
from majula.messages.telemetry import ClientFigure, ClientFigures
from majula.routing.operations import ClientLine, ClientsAnswer, ClientsRequest
from majula.telemetry.operations import SlowClient

_LISTED: Final = 1_024
_SLOW_LISTED: Final = 64
_CLIENTS_A_GATEWAY: Final = 100_000
"""More than a gateway takes; what a gateway of ours would never send is not kept."""
_PASS_S: Final = 1.0
_PORTION: Final = 1_024
"""A gateway tells of so many clients a second at most, so of 10,000 each has its turn every ten seconds."""


class _Known(Struct):
    """One client: its newest figures, and what came and went per second between the last two tellings."""

    figure: ClientFigure
    told_at: float
    received_per_s: float = 0.0
    sent_per_s: float = 0.0


class ClientBoard:
    """All clients, by gateway and session.

    Args:
        node: the node's id.
    """

    def __init__(self, node: str) -> None:
        self._node = node
        self._gateways: dict[Role, dict[int, _Known]] = {}

    def told(self, gateway: Role, message: ClientFigures, now: float) -> None:
        """A gateway tells of clients whose figures have changed."""
        if message.is_first:
            self._gateways[gateway] = {}
        known = self._gateways.setdefault(gateway, {})
        for number in message.gone:
            known.pop(number, None)
        for figure in message.changed:
            before = known.get(figure.number)
            if before is None:
                if len(known) < _CLIENTS_A_GATEWAY:
                    known[figure.number] = _Known(figure, now)
                continue
            spent_s = max(now - before.told_at, 0.001)
            received = figure.received_messages - before.figure.received_messages
            sent = figure.sent_messages - before.figure.sent_messages
            known[figure.number] = _Known(figure, now, round(received / spent_s, 1), round(sent / spent_s, 1))

    def gateway_gone(self, gateway: Role) -> None:
        """Its clients are not there any more; they will connect again."""
        self._gateways.pop(gateway, None)

    def __len__(self) -> int:
        return sum(map(len, self._gateways.values()))

    def answer(self, request: ClientsRequest, now: float) -> ClientsAnswer:
        """One page of the list, by client id."""
        if request.node not in ("", self._node):
            return ClientsAnswer((), 0)
        found = [
            (gateway, client)
            for gateway, client in self._all()
            if not request.client or client.figure.client_id == request.client
        ]
        found.sort(key=lambda item: (item[1].figure.client_id, item[0], item[1].figure.number))
        offset, limit = max(request.offset, 0), min(max(request.limit, 0), _LISTED)
        return ClientsAnswer(tuple(self._line(*item, now) for item in found[offset : offset + limit]), len(found))

    def slow(self) -> tuple[SlowClient, ...]:
        """Those that do not read, the worst first."""
        found = [
            SlowClient(
                client=client.figure.client_id,
                gateway=gateway,
                waiting_bytes=client.figure.waiting_bytes,
                dropped_messages=client.figure.dropped_messages,
            )
            for gateway, client in self._all()
            if client.figure.is_slow
        ]
        found.sort(key=attrgetter("dropped_messages"), reverse=True)
        return tuple(found[:_SLOW_LISTED])

    def _all(self) -> Iterator[tuple[Role, _Known]]:
        for gateway, clients in self._gateways.items():
            for client in clients.values():
                yield gateway, client

    def _line(self, gateway: Role, client: _Known, now: float) -> ClientLine:
        figure = client.figure
        # What does not change is not told again: a rate that has not been told for two passes of its gateway is over.
        passes = 1 + len(self._gateways[gateway]) // _PORTION
        is_old = now - client.told_at > 2.5 * _PASS_S * passes
        return ClientLine(
            client=figure.client_id,
            node=self._node,
            gateway=gateway,
            surface=figure.surface,
            agent=figure.agent,
            token=figure.token,
            since=wall_time(figure.since) if figure.since else "",
            subscriptions=figure.subscriptions,
            functions=figure.functions,
            received_messages=figure.received_messages,
            sent_messages=figure.sent_messages,
            received_per_s=0.0 if is_old else client.received_per_s,
            sent_per_s=0.0 if is_old else client.sent_per_s,
            waiting_bytes=figure.waiting_bytes,
            dropped_messages=figure.dropped_messages,
            is_slow=figure.is_slow,
        )


def wall_time(at: float) -> str:
    """RFC 3339, UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
