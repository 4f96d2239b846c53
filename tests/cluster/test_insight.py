"""What an operator sees of a real node: roles, clients, events, metrics, logs, what a role is doing; and what telemetry's death
costs, which is nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TypeVar

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from majula.errors import NotFound, PermissionDenied, Unavailable
from majula.telemetry.events import EVENTS
from majula.telemetry.metrics import undeclared
from majula.telemetry.operations import StatusAnswer
from tests.cluster.node_clients import GUARD_S, Clients, Load, running_node
from tests.cluster.node_rig import record_recovery
from tests.native_peer import Peer

pytestmark = pytest.mark.slow

T = TypeVar("T")
TURN_S = 0.05
"""Between two questions for what comes with the next second's figures."""


@pytest.fixture
async def clients(tmp_path: Path) -> AsyncIterator[Clients]:
    async with running_node(tmp_path / "node") as found:
        yield found


async def until(ask: Callable[[], Awaitable[T]], is_it: Callable[[T], bool]) -> T:
    """Asks until the answer is what is waited for; the figures come once a second."""
    async with asyncio.timeout(GUARD_S):
        while True:
            with suppress(Unavailable):
                found = await ask()
                if is_it(found):
                    return found
            await asyncio.sleep(TURN_S)


def has_all_roles(status: StatusAnswer) -> bool:
    return (
        len(status.roles) >= 9
        and all(role.statistics or role.supervisor == "runner" for role in status.roles)
        and status.state == "serving"
    )


async def get(clients: Clients, path: str) -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{clients.node.ports[0]}{path}") as answer:
        return answer.status, answer.headers["Content-Type"], await answer.text()


# --- roles, clients, metrics


async def test_status_over_the_network_shows_the_same_roles_as_the_control_socket(clients: Clients) -> None:
    operator = await clients.connect()
    status = await until(operator.status, has_all_roles)
    roles = await clients.node.roles()
    assert {role.role: role.pid for role in status.roles} == {name: role["pid"] for name, role in roles.items()}
    assert any("auth: none" in line for line in status.insecure)


async def test_every_figure_of_every_role_is_described(clients: Clients) -> None:
    """Add a line to `majula/telemetry/figures.py` for each that is named here."""
    operator = await clients.connect()
    status = await until(operator.status, has_all_roles)
    assert undeclared(status.roles) == []


async def test_metrics_are_what_prometheus_reads_and_name_no_client(clients: Clients) -> None:
    operator = await clients.connect(client_id="canary-client")
    await operator.subscribe("canary.topic")
    await until(operator.status, has_all_roles)
    code, kind, page = await get(clients, "/metrics")
    assert (code, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found = {family.name: family for family in text_string_to_metric_families(page)}
    gateway = f"gateway:{clients.node.ports[0]}"
    clients_there = [s.value for s in found["majula_gateway_subscriptions"].samples if s.labels == {"role": gateway}]
    assert clients_there == [1.0]
    assert ("canary" not in page and page == (await operator.metrics()).replace("", "")) or "canary" not in page


async def test_clients_are_listed_with_what_they_sent_and_got(clients: Clients) -> None:
    operator, near, far = [
        await clients.connect(gateway, client_id=name) for gateway, name in ((0, "op"), (0, "near"), (1, "far"))
    ]
    await far.subscribe("numbers", sync=True)
    for number in range(100):
        await near.publish("numbers", number)
    answer = await until(
        operator.clients, lambda found: any(line.client == "far" and line.sent_messages > 0 for line in found.clients)
    )
    lines = {line.client: line for line in answer.clients}
    assert {"op", "near", "far"} <= lines.keys() and answer.of == len(answer.clients)
    assert (lines["far"].gateway, lines["far"].subscriptions) == (f"gateway:{clients.node.ports[1]}", 1)
    assert lines["near"].received_messages > 0 and lines["near"].since.endswith("Z")


async def test_client_that_does_not_read_is_named_in_status_and_by_an_event(clients: Clients) -> None:
    async with AsyncExitStack() as stack:
        operator = await clients.connect()
        events = await operator.subscribe("$SYS.client.slow", sync=True)
        peer = Peer(*await asyncio.open_unix_connection(clients.address(0).removeprefix("unix:")))
        stack.callback(peer.writer.close)
        await peer.hello("laggard")
        await peer.subscribe("big")
        peer.reader._transport.pause_reading()  # type: ignore[attr-defined]  # a client that does not read
        for _ in range(120):
            await operator.publish("big", b"x" * 100_000)
        status = await until(operator.status, lambda found: bool(found.slow_clients))
        assert [slow.client for slow in status.slow_clients] == ["laggard"]
        async with asyncio.timeout(GUARD_S):
            event = (await anext(events)).payload
        assert (event["name"], event["fields"]["client_id"], event["node"]) == ("client.slow", "laggard", "n1")


# --- events and the flight recorder


async def test_death_of_a_role_is_an_event_on_its_topic_in_the_list_and_in_the_log(clients: Clients) -> None:
    operator = await clients.connect()
    deaths = await operator.subscribe("$SYS.child.>", pattern=True, sync=True)
    pid = await clients.node.pid("rpc_broker")
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(GUARD_S):
        while (event := (await anext(deaths)).payload)["name"] != "child.died":
            pass
    assert (event["role"], event["fields"]["reason"]) == ("rpc_broker", "killed by SIGKILL")
    listed = [line for line in await operator.events("child.died") if line.role == "rpc_broker"]
    assert [line.number for line in listed] == [event["number"]]
    assert clients.node.said("child.died", "rpc_broker")


async def test_every_event_of_a_start_is_declared_and_listed(clients: Clients) -> None:
    operator = await clients.connect()
    events = await until(operator.events, lambda found: any(line.name == "node.ready" for line in found))
    assert {line.name for line in events} <= EVENTS.keys()
    assert {"child.started", "node.ready"} <= {line.name for line in events}


async def test_client_cannot_publish_where_the_node_publishes_its_events(clients: Clients) -> None:
    client = await clients.connect()
    with pytest.raises(PermissionDenied):
        await client.publish("$SYS.client.connected", {}, ack=True)


async def test_crash_of_a_role_leaves_a_recording_for_its_owner_only_without_payloads(clients: Clients) -> None:
    operator = await clients.connect()
    await operator.subscribe("canary.topic", sync=True)
    await operator.publish("canary.topic", "canary-payload")
    os.kill(await clients.node.pid("router"), signal.SIGKILL)
    said = await clients.node.until_said("flight.dumped")
    path = Path(said["file"])
    content = path.read_text()
    recorded = json.loads(content)
    assert path.parent == clients.node.data_dir / "flight" and path.stat().st_mode & 0o777 == 0o600
    assert any(event["name"] == "child.died" and event["role"] == "router" for event in recorded["events"])
    assert "canary-payload" not in content


async def test_recording_is_written_and_shown_on_request(clients: Clients) -> None:
    operator = await clients.connect()
    flight = await operator.flight()
    assert json.loads(Path(flight.file).read_text())["reason"] == "asked for"
    assert any(event.name == "child.started" for event in flight.events)


# --- logs


async def test_level_of_a_role_is_changed_at_run_time_and_comes_back(clients: Clients) -> None:
    operator = await clients.connect()
    await operator.log_level("telemetry", "error")
    await operator.flight()
    assert not clients.node.said("flight.dumped")
    await operator.log_level("telemetry", "info", for_s=60.0)
    await operator.flight()
    await clients.node.until_said("flight.dumped")
    audit = await until(operator.audit, lambda found: sum(entry.what == "log.level" for entry in found) == 2)
    assert {entry.detail["role"] for entry in audit if entry.what == "log.level"} == {"telemetry"}


async def test_level_of_a_role_that_is_not_there_is_refused_naming_those_that_are(clients: Clients) -> None:
    operator = await clients.connect()
    with pytest.raises(NotFound, match="topic_manager"):
        await operator.log_level("nobody", "debug")


# --- looking at a role


async def test_stacks_tasks_queues_and_messages_of_a_role_are_shown(clients: Clients) -> None:
    operator = await clients.connect()
    gateway = f"gateway:{clients.node.ports[1]}"
    stacks, tasks = await operator.debug_stacks(gateway), await operator.debug_tasks(gateway)
    queues = await operator.debug_queues(gateway)
    assert stacks.pid == await clients.node.pid(gateway) and "run_forever" in stacks.threads[0]
    assert any(task.name == "gateway.tell" and "asyncio" in task.where for task in tasks.tasks)
    assert any(queue.name == "router (control)" and queue.limit_bytes == 16 << 20 for queue in queues.queues)
    tap = await operator.debug_tap(gateway, for_s=1.2)
    assert {"Ping", "Pong"} <= {line.message for line in tap.lines}


async def test_tap_of_a_gateway_shows_sizes_and_never_payloads(clients: Clients) -> None:
    operator, near, far = [await clients.connect(gateway) for gateway in (0, 0, 1)]
    await far.subscribe("canary.topic", sync=True)
    tapping = asyncio.create_task(operator.debug_tap(f"gateway:{clients.node.ports[0]}", for_s=1.0))
    while not tapping.done():
        await near.publish("canary.topic", "canary-payload", ack=True)
        await asyncio.sleep(TURN_S)
    tap = await tapping
    assert any(line.message == "batch of frames" and line.bytes > 20 for line in tap.lines)
    assert "canary" not in repr(tap)


async def test_role_that_hangs_is_said_to_be_so(clients: Clients) -> None:
    operator = await clients.connect()
    await until(operator.status, has_all_roles)
    pid = await clients.node.pid("rpc_broker")
    os.kill(pid, signal.SIGSTOP)
    began_at = time.monotonic()
    with pytest.raises(Unavailable, match="rpc_broker"):
        await operator.debug_stacks("rpc_broker")
    assert time.monotonic() - began_at < 5.0  # a guard: it neither waits for ever nor for the client's own patience
    await clients.node.until_said("child.died", "rpc_broker")


# --- telemetry itself


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
async def test_death_of_telemetry_costs_clients_nothing_and_it_comes_back(clients: Clients, fault: signal.Signals) -> None:
    """FAULTS: telemetry."""
    operator = await clients.connect()
    await until(operator.status, has_all_roles)
    async with Load(clients) as load:
        pid = await clients.node.pid("telemetry")
        began_at = time.monotonic()
        os.kill(pid, fault)
        assert "telemetry" in await clients.node.roles()  # the control socket answers throughout
        await until(operator.status, lambda found: any(r.role == "telemetry" and r.pid not in (0, pid) for r in found.roles))
        record_recovery("telemetry", fault.name, time.monotonic() - began_at, "test_death_of_telemetry_costs_clients_nothing")
        await load.goes_on()
    assert set(load.outcomes) == {"answer"} and load.received == list(range(len(load.received)))
    await until(operator.clients, lambda found: found.of >= 3)
    assert any(line.name == "child.died" and line.role == "telemetry" for line in await operator.events("child.died"))


async def test_metrics_are_unavailable_while_telemetry_is_away(clients: Clients) -> None:
    os.kill(await clients.node.pid("telemetry"), signal.SIGSTOP)
    async with asyncio.timeout(GUARD_S):
        code, _, body = await get(clients, "/metrics")
    assert code in (503, 504) and "canary" not in body
