"""The synchronous client: a program in a thread, a gateway in the test's loop."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from pathlib import Path

import pytest

import majula
from majula.api.sync.thread import LoopThread
from majula.errors import ConnectionLost, DeadlineExceeded, InvalidRequest, NoProvider, RemoteError
from majula.wire.headers import Bye, Cancel, Publish, Subscribe
from tests.unit.sdk.gateway import FakeGateway

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[FakeGateway]:
    fake = await FakeGateway(tmp_path / "g.sock").start()
    yield fake
    await fake.stop()


async def run(program: Callable[[], None]) -> None:
    """In a thread, as a program without a loop would."""
    await asyncio.to_thread(program)


async def test_what_is_published_is_iterated_over(gateway: FakeGateway) -> None:
    def program() -> None:
        with majula.sync.connect(gateway.address) as client, client.subscribe("t") as subscription:
            for number in range(1_000):
                client.publish("t", number)
            client.flush()
            assert [next(subscription).payload for _ in range(1_000)] == list(range(1_000))
            assert (subscription.received, subscription.queued, subscription.dropped) == (1_000, 0, 0)

    await run(program)


async def test_iteration_ends_with_the_subscription(gateway: FakeGateway) -> None:
    def program() -> None:
        with majula.sync.connect(gateway.address) as client:
            subscription = client.subscribe("t")
            client.publish("t", 1, ack=True)
            client.flush()
            subscription.unsubscribe()
            assert [message.payload for message in subscription] == [1]

    await run(program)


async def test_a_message_can_be_waited_for_with_a_limit(gateway: FakeGateway) -> None:
    def program() -> None:
        with majula.sync.connect(gateway.address) as client:
            subscription = client.subscribe("t", type=int)
            with pytest.raises(DeadlineExceeded):
                subscription.receive(timeout_s=0.01)
            client.publish("t", 5)
            assert subscription.receive(timeout_s=30).payload == 5

    await run(program)


async def test_a_waiting_thread_does_not_keep_another_from_its_limit(gateway: FakeGateway) -> None:
    def program() -> None:
        with majula.sync.connect(gateway.address) as client, ThreadPoolExecutor(1) as pool:
            subscription = client.subscribe("t")
            waiting = pool.submit(subscription.receive)
            with pytest.raises(DeadlineExceeded):
                subscription.receive(timeout_s=0.05)
            client.publish("t", 1)
            assert waiting.result().payload == 1

    await run(program)


async def test_a_callback_may_block_and_use_the_client(gateway: FakeGateway) -> None:
    def program() -> None:
        answered: Future[object] = Future()
        with majula.sync.connect(gateway.address) as client:
            client.register("twice", lambda value: value * 2)
            client.subscribe("t", lambda message: answered.set_result(client.call("twice", message.payload)))
            client.publish("t", 21)
            assert answered.result(30) == 42

    await run(program)


async def test_a_callback_gets_messages_one_after_the_other(gateway: FakeGateway) -> None:
    def program() -> None:
        got: list[int] = []
        done = threading.Event()

        def take(message: majula.Message) -> None:
            got.append(message.payload)
            if message.payload == 99:
                done.set()

        with majula.sync.connect(gateway.address) as client:
            client.subscribe("t", take)
            for number in range(100):
                client.publish("t", number)
            assert done.wait(30)
        assert got == list(range(100))

    await run(program)


async def test_a_callback_that_ends_its_subscription_is_not_called_again(gateway: FakeGateway) -> None:
    def program() -> None:
        got: list[int] = []
        done = threading.Event()
        with majula.sync.connect(gateway.address) as client:

            def take(message: majula.Message) -> None:
                got.append(message.payload)
                subscription.unsubscribe()
                done.set()

            subscription = client.subscribe("t", take)
            for number in range(10):
                client.publish_nowait("t", number)
            client.flush()
            assert done.wait(30)
            client.flush()
        assert got == [0]

    await run(program)


async def test_what_a_callback_raises_is_told_and_the_next_message_comes(gateway: FakeGateway) -> None:
    def program() -> None:
        got: list[float] = []
        told: list[tuple[object, str]] = []
        done = threading.Event()

        def take(message: majula.Message) -> None:
            got.append(1 / message.payload)
            if message.payload == 5:
                done.set()

        def on_error(message: majula.Message, error: Exception) -> None:
            told.append((message.payload, type(error).__name__))

        with majula.sync.connect(gateway.address) as client:
            subscription = client.subscribe("t", take, on_error=on_error)
            for number in (2, 0, 4, 5):
                client.publish("t", number)
            assert done.wait(30)
            client.flush()
            assert subscription.failures == 1
        assert (got, told) == ([0.5, 0.25, 0.2], [(0, "ZeroDivisionError")])

    await run(program)


async def test_functions_run_side_by_side_and_their_errors_reach_the_caller(gateway: FakeGateway) -> None:
    def program() -> None:
        both = threading.Barrier(2)

        def meet(name: str) -> str:
            both.wait(30)
            return name

        with majula.sync.connect(gateway.address) as client:

            @client.rpc
            def divide(a: float, b: float) -> float:
                """Divide."""
                return a / b

            client.register("meet", meet)
            calls = [client.start_call("meet", {"name": name}) for name in ("a", "b")]
            assert [call.result(30) for call in calls] == ["a", "b"]
            with pytest.raises(RemoteError, match="zero"):
                client.call("divide", {"a": 1, "b": 0})
            with pytest.raises(InvalidRequest, match="a: Expected"):
                client.call("divide", {"a": "one", "b": 2})
            with pytest.raises(NoProvider):
                client.call("nowhere")
        names = {parameter.name for session in gateway.sessions for parameter in session.functions["divide"].parameters}
        assert names <= {"a", "b"}

    await run(program)


async def test_several_threads_share_one_client(gateway: FakeGateway) -> None:
    def program() -> None:
        with majula.sync.connect(gateway.address) as client, ThreadPoolExecutor(8) as pool:
            client.register("twice", lambda value: value * 2)
            assert list(pool.map(lambda n: client.call("twice", n), range(200))) == [n * 2 for n in range(200)]

    await run(program)


async def test_a_call_that_was_begun_can_be_cancelled(gateway: FakeGateway) -> None:
    begun = threading.Event()
    over = threading.Event()

    def program() -> None:
        def wait() -> None:
            begun.set()
            over.wait(30)

        with majula.sync.connect(gateway.address) as client:
            client.register("wait", wait)
            call = client.start_call("wait")
            assert begun.wait(30)
            assert call.cancel()
            with pytest.raises(CancelledError):
                call.result()

    running = asyncio.ensure_future(run(program))
    await gateway.until(lambda: bool(gateway.of(Cancel)))
    over.set()
    await running


async def test_states_are_told_in_order_and_the_callback_may_use_the_client(gateway: FakeGateway) -> None:
    def program() -> None:
        told: list[str] = []
        closed = threading.Event()

        def on_state(state: majula.State) -> None:
            told.append(state.name)
            if state.name == "closed":
                closed.set()

        with majula.sync.connect(gateway.address, on_state=on_state) as client:
            assert client.state.name == "connected"
        assert closed.wait(30)
        assert told == ["connecting", "connected", "closed"]

    await run(program)


async def test_nothing_runs_on_when_a_client_is_closed(gateway: FakeGateway) -> None:
    before = threading.active_count()

    def program() -> None:
        client = majula.sync.connect(gateway.address)
        client.subscribe("t", print)
        client.close()
        client.close()
        with pytest.raises(ConnectionLost):
            client.publish("t", 1)

    thread = threading.Thread(target=program)
    thread.start()
    await asyncio.to_thread(thread.join)
    left = [one.name for one in threading.enumerate() if one.name.startswith("majula") and "callbacks" not in one.name]
    assert (left, threading.active_count() >= before) == ([], True)


async def test_threads_that_wait_are_let_go_when_another_closes_the_client(gateway: FakeGateway) -> None:
    def wait(client: majula.sync.Client, number: int) -> str:
        try:
            match number % 3:
                case 0:
                    return f"ended {list(client.subscribe(f't.{number}'))}"
                case 1:
                    client.call("wait", timeout_s=600)
                case 2:
                    client.subscribe("t").receive()
        except ConnectionLost:
            return "lost"
        return "answered"

    def program() -> None:
        for _ in range(5):
            over = threading.Event()
            client = majula.sync.connect(gateway.address)
            client.register("wait", over.wait)
            with ThreadPoolExecutor(12) as pool:
                waiting = [pool.submit(wait, client, number) for number in range(12)]
                client.flush()
                client.close()
                over.set()
                assert {one.result(30) for one in waiting} <= {"ended []", "lost"}

    await run(program)


async def test_what_cannot_be_connected_leaves_no_thread(tmp_path: Path) -> None:
    def program() -> None:
        with pytest.raises(ConnectionLost):
            majula.sync.connect(f"unix:{tmp_path}/nobody.sock", timeout_s=0.01)
        with pytest.raises(InvalidRequest):
            majula.sync.connect("gopher://x")

    await run(program)
    assert [one.name for one in threading.enumerate() if one.name == "majula"] == []


def test_an_async_function_is_refused() -> None:
    async def wait() -> None: ...

    thread = LoopThread("test", threads=1)
    try:
        with pytest.raises(InvalidRequest, match="plain functions"):
            thread.handed(wait)
        with pytest.raises(InvalidRequest, match="own event loop"):
            thread.call(lambda: thread.call(print))
    finally:
        thread.stop()


# --- a process of its own

ENDLESS = """
import majula
with majula.sync.connect({address!r}) as client:
    for message in client.subscribe("t"):
        print(message.payload)
"""

CARELESS = """
import majula
client = majula.sync.connect({address!r})
client.subscribe("other", print)
client.publish("t", b"last words")
"""


async def start(program: str, gateway: FakeGateway) -> asyncio.subprocess.Process:
    text = program.format(address=gateway.address)
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", text, cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


@pytest.mark.slow
async def test_ctrl_c_ends_a_program_that_waits_and_its_session(gateway: FakeGateway) -> None:
    process = await start(ENDLESS, gateway)
    await gateway.until(lambda: bool(gateway.of(Subscribe)))
    process.send_signal(signal.SIGINT)
    _, errors = await process.communicate()
    assert process.returncode in {1, -signal.SIGINT}
    assert "KeyboardInterrupt" in errors.decode().splitlines()
    assert gateway.of(Bye)


@pytest.mark.slow
async def test_a_program_that_forgets_to_close_has_published_what_it_published(gateway: FakeGateway) -> None:
    process = await start(CARELESS, gateway)
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    assert gateway.of(Publish) and gateway.of(Bye)


FORKED = """
import os
import majula
with majula.sync.connect({address!r}) as client:
    client.subscribe("other", print)
    if not os.fork():
        try:
            client.publish("t", 1)
        except majula.MajulaError as error:
            print(error, flush=True)
        raise SystemExit
    os.wait()
    client.publish("t", b"parent", ack=True)
"""


@pytest.mark.slow
async def test_a_forked_child_is_told_that_the_client_is_not_its_own(gateway: FakeGateway) -> None:
    process = await start(FORKED, gateway)
    async with asyncio.timeout(30):
        said, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    assert b"forked" in said
    assert len(gateway.of(Publish)) == 1
