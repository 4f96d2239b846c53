"""The native port on real sockets, its gateway without actors."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import pytest

from majula.api.native import NativeEdge
from majula.errors import Draining
from majula.gateway.settings import GatewayLimits, GatewaySettings
from majula.wire.frames import PREFIX_BYTES, decode_header, encode_frame, encode_run, split_run
from majula.wire.headers import (
    Ack,
    AnyHeader,
    Error,
    Hello,
    Ping,
    Pong,
    Publish,
    Reconnect,
    Slow,
    Subscribe,
    Unregister,
    Welcome,
)
from tests.edges import LocalGateway
from tests.native_peer import Peer


class Native:
    """A served native port."""

    def __init__(self, gateway: LocalGateway, edge: NativeEdge, path: str, port: int) -> None:
        self.gateway = gateway
        self.edge = edge
        self.path = path
        self.port = port
        self._peers: list[Peer] = []

    async def connect(self, *, tcp: bool = False) -> Peer:
        streams = await (
            asyncio.open_connection("127.0.0.1", self.port) if tcp else asyncio.open_unix_connection(self.path, limit=1 << 24)
        )
        self._peers.append(Peer(*streams))
        return self._peers[-1]

    async def client(self, client_id: str = "") -> Peer:
        peer = await self.connect()
        await peer.hello(client_id)
        return peer

    def look(self, seconds: float) -> None:
        """The sweep, so many seconds from now."""
        self.edge.look(self.gateway.loop.time() + seconds)

    async def until_clients(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.gateway.switch.sessions) != count:
                await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for peer in self._peers:
            peer.writer.close()


@asynccontextmanager
async def serve(tmp_path: Path, limits: GatewayLimits | None = None) -> AsyncIterator[Native]:
    path = str(tmp_path / "native.sock")
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(path)
    tcp = socket.create_server(("127.0.0.1", 0))
    for listener in (unix, tcp):
        listener.listen()
        listener.setblocking(False)
    settings = GatewaySettings(port=1, native_socket="unix", native_tcp_socket="tcp", limits=limits or GatewayLimits())
    gateway = LocalGateway(settings)
    edge = NativeEdge()
    await edge.start(gateway, {"unix": unix, "tcp": tcp})
    try:
        async with Native(gateway, edge, path, tcp.getsockname()[1]) as native:
            yield native
    finally:
        await edge.stop()
        gateway.close()
        unix.close()
        tcp.close()
    assert gateway.crashes == []


def error(header: AnyHeader) -> tuple[str, str]:
    assert isinstance(header, Error), header
    return header.code, header.method


@pytest.mark.parametrize("tcp", [False, True])
async def test_hello_is_answered_by_welcome(tmp_path: Path, tcp: bool) -> None:
    async with serve(tmp_path) as native:
        welcome = await (await native.connect(tcp=tcp)).hello("c")
    assert (welcome.node_id, welcome.client_id, welcome.gateway) == ("n1", "c", "gateway:1")


async def test_frames_sent_right_behind_hello_are_served_after_it(tmp_path: Path) -> None:
    async with serve(tmp_path) as native:
        peer = await native.connect()
        peer.writer.write(encode_frame(Hello(1)) + encode_frame(Subscribe(7, "a")))
        assert isinstance((await peer.read())[0], Welcome)
        assert (await peer.read())[0] == Ack(7, "gateway")


async def test_a_stream_cut_at_every_byte_is_understood(tmp_path: Path) -> None:
    async with serve(tmp_path) as native:
        subscriber, publisher = await native.client(), await native.client()
        await subscriber.subscribe("a")
        for byte in encode_frame(Publish("a"), encode_run([b"one"])) + encode_frame(Publish("a"), encode_run([b"two"])):
            publisher.writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert [split_run((await subscriber.read())[1]) for _ in range(2)] == [[b"one"], [b"two"]]


async def test_a_message_of_the_largest_size_passes(tmp_path: Path) -> None:
    async with serve(tmp_path) as native:
        subscriber, publisher = await native.client(), await native.client()
        await subscriber.subscribe("a")
        publisher.send(Publish("a"), encode_run([b"x" * (1 << 20)]))
        assert split_run((await subscriber.read())[1]) == [b"x" * (1 << 20)]


async def test_messages_of_all_sizes_come_in_order(tmp_path: Path) -> None:
    async with serve(tmp_path) as native:
        subscriber, publisher = await native.client(), await native.client()
        await subscriber.subscribe("a")
        sizes = [1, 100, 70_000, 3, 300_000, 20_000, 20_000, 5] * 3
        for number, size in enumerate(sizes):
            publisher.send(Publish("a"), encode_run([bytes([number]) * size]))
        for number, size in enumerate(sizes):
            assert split_run((await subscriber.read())[1]) == [bytes([number]) * size]


async def test_frames_of_one_large_write_are_served_in_order_and_all_of_them(tmp_path: Path) -> None:
    async with serve(tmp_path) as native:
        subscriber, publisher = await native.client(), await native.client()
        await subscriber.subscribe("a")
        frames = [encode_frame(Publish("a"), encode_run([b"%d" % number])) for number in range(3_000)]
        publisher.writer.write(b"".join(frames[:2_000]))
        publisher.writer.write(b"".join(frames[2_000:]))
        publisher.writer.close()  # what was sent before the end is served
        got: list[bytes] = []
        while len(got) < 3_000:
            got += split_run((await subscriber.read())[1])
        assert got == [b"%d" % number for number in range(3_000)]


@pytest.mark.parametrize(
    "first",
    [
        encode_frame(Subscribe(1, "a")),
        encode_frame(Hello(0)),
        b"\x04\x00\x00\x00\x02\x00\xc1\xc1",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x01\x00\x00\x00\x00\x00",
        b"\xff" * 64,
    ],
    ids=["not hello", "old version", "no msgpack", "http", "too short", "ff"],
)
async def test_what_is_no_hello_is_refused_and_closed(tmp_path: Path, first: bytes) -> None:
    async with serve(tmp_path) as native:
        peer = await native.connect()
        peer.writer.write(first)
        code, method = error((await peer.read())[0])
        assert (code in {"protocol_error", "too_large"}, method) == (True, "HELLO")
        await peer.closed()
        await native.client()


async def test_a_taken_id_is_refused(tmp_path: Path) -> None:
    async with serve(tmp_path) as native:
        await native.client("c")
        peer = await native.connect()
        peer.send(Hello(1, "c"))
        assert error((await peer.read())[0]) == ("conflict", "HELLO")
        await peer.closed()


async def test_the_secret_takes_the_id_over_and_the_older_connection_hears_why(tmp_path: Path) -> None:
    async with serve(tmp_path) as native:
        older, newer = await native.connect(), await native.connect()
        welcome = await older.hello("c")
        await newer.hello("c", welcome.secret)
        assert error((await older.read())[0])[0] == "conflict"
        await older.closed()


async def test_a_connection_without_hello_is_closed_after_the_limit(tmp_path: Path) -> None:
    async with serve(tmp_path) as native:
        peer = await native.connect()
        peer.writer.write(b"\x10")
        await native.client()  # by now the first one is accepted as well
        native.look(4.0)
        native.look(6.0)
        assert error((await peer.read())[0]) == ("protocol_error", "HELLO")
        await peer.closed()


async def test_a_frame_over_the_limit_is_refused_before_it_has_come(tmp_path: Path) -> None:
    async with serve(tmp_path, GatewayLimits(message_bytes=1_000)) as native:
        peer = await native.client()
        peer.writer.write((1 << 20).to_bytes(4, "little") + b"\x02\x00")
        assert error((await peer.read())[0])[0] == "too_large"
        await peer.closed()


async def test_a_frame_that_makes_no_progress_ends_the_connection(tmp_path: Path) -> None:
    async with serve(tmp_path) as native:
        peer = await native.client()
        peer.send(Ping(1))
        peer.writer.write(b"\x40\x00\x00\x00\x02")
        await peer.read()
        native.look(9.0)
        native.look(11.0)
        assert error((await peer.read())[0])[0] == "protocol_error"
        await peer.closed()


async def test_a_silent_client_is_pinged_twice_and_then_given_up(tmp_path: Path) -> None:
    async with serve(tmp_path) as native:
        peer = await native.client()
        for seconds in (19, 21, 22, 41, 59, 61):
            native.look(float(seconds))
        assert [(await peer.read())[0] for _ in range(2)] == [Ping(1), Ping(2)]
        assert error((await peer.read())[0])[0] == "connection_lost"
        await peer.closed()


async def test_ping_is_answered(tmp_path: Path) -> None:
    async with serve(tmp_path) as native:
        peer = await native.client()
        peer.send(Ping(5))
        assert (await peer.read())[0] == Pong(5)


async def test_a_lost_connection_ends_its_session(tmp_path: Path) -> None:
    async with serve(tmp_path) as native:
        peer = await native.client()
        await peer.subscribe("a")
        peer.writer.close()
        await native.until_clients(0)
        assert native.gateway.switch.statistics()["subscriptions"] == 0


async def test_a_client_that_leaves_while_it_is_admitted_leaves_nothing(tmp_path: Path) -> None:
    async with serve(tmp_path) as native:
        native.gateway.pause_admission = asyncio.Event()
        peer = await native.connect()
        peer.send(Hello(1, "c"))
        await asyncio.sleep(0.01)  # there is no event that says that an admission waits
        peer.writer.close()
        await peer.writer.wait_closed()
        native.gateway.pause_admission.set()
        native.gateway.pause_admission = None
        await native.until_clients(0)
        await native.client("c")


async def test_a_reader_that_stops_is_bounded_told_of_its_gap_and_slows_nobody(tmp_path: Path) -> None:
    limits = GatewayLimits(queue_bytes=1 << 20)
    async with serve(tmp_path, limits) as native:
        slow, quick, publisher = await native.client("slow"), await native.client(), await native.client()
        await slow.subscribe("a")
        await quick.subscribe("a")
        slow.reader._transport.pause_reading()  # type: ignore[attr-defined]  # a client that does not read
        run = encode_run([b"x" * 65_536])
        for number in range(200):
            publisher.send(Publish("a"), run)
            await publisher.writer.drain()
            assert (await quick.read())[1] == run, number
        session = native.gateway.switch.session_of("slow")
        assert session is not None
        assert session.outbox.bytes <= limits.queue_bytes + 100
        slow.reader._transport.resume_reading()  # type: ignore[attr-defined]  # it reads again
        received = dropped = 0
        while received + dropped < 200:
            header, body = await slow.read()
            if isinstance(header, Slow):
                dropped += header.dropped_messages
            else:
                received += len(split_run(body))
        assert dropped > 100


async def stuck(native: Native) -> None:
    """The client `slow` has stopped to read, and more waits for it than its transport takes."""
    slow, publisher = await native.client("slow"), await native.client("publisher")
    await slow.subscribe("a")
    slow.reader._transport.pause_reading()  # type: ignore[attr-defined]  # a client that does not read
    run = encode_run([b"x" * (1 << 20)])
    for _ in range(4):
        publisher.send(Publish("a"), run)
    await publisher.writer.drain()
    publisher.send(Ping(1))
    await publisher.read()


async def until_connections(native: Native, count: int) -> None:
    async with asyncio.timeout(10):
        while native.edge.statistics()["native_connections"] != count:
            await asyncio.sleep(0)


@pytest.mark.parametrize("silent_s", [30.0, 60.0, 90.0])
async def test_a_client_that_takes_no_byte_for_too_long_is_cut_off(tmp_path: Path, silent_s: float) -> None:
    async with serve(tmp_path, GatewayLimits(silent_s=silent_s)) as native:
        await stuck(native)
        native.look(0.0)
        native.look(silent_s - 1.0)
        assert native.gateway.switch.session_of("slow") is not None
        native.look(silent_s + 2.0)
        await until_connections(native, 1)
        assert native.gateway.switch.session_of("slow") is None


async def test_a_closed_connection_whose_client_does_not_read_is_cut_off(tmp_path: Path) -> None:
    async with serve(tmp_path) as native:
        await stuck(native)
        session = native.gateway.switch.session_of("slow")
        assert session is not None
        native.gateway.switch.close(session, Draining(), native.gateway.loop.time())
        native.gateway.wake()
        await native.until_clients(1)
        await asyncio.sleep(0)
        native.look(6.0)
        await until_connections(native, 1)


async def test_more_connections_than_the_limit_are_refused(tmp_path: Path) -> None:
    async with serve(tmp_path, GatewayLimits(connections=1)) as native:
        await native.client()
        peer = await native.connect()
        assert error((await peer.read())[0]) == ("overloaded", "HELLO")
        await peer.closed()


async def test_a_drain_tells_clients_and_refuses_new_ones(tmp_path: Path) -> None:
    async with serve(tmp_path) as native:
        peer = await native.client()
        native.gateway.switch.drain(native.gateway.loop.time())
        native.gateway.wake()
        await native.edge.drain(native.gateway.loop.time() + 1)
        assert isinstance((await peer.read())[0], Reconnect)
        with pytest.raises(OSError):
            await native.connect()
        with pytest.raises(OSError):
            await native.connect(tcp=True)


async def test_a_gateway_that_stops_says_so_in_the_last_frame(tmp_path: Path) -> None:
    async with serve(tmp_path) as native:
        peer, idle = await native.client("c"), await native.client("d")
        session = native.gateway.switch.session_of("c")
        assert session is not None
        native.gateway.switch.close(session, Draining("this gateway has stopped"), native.gateway.loop.time())
        session.connection.end(session.ended_by)
        await native.edge.stop()
        assert error((await peer.read())[0])[0] == "draining"
        await peer.closed()
        await idle.closed()


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_another_user_of_the_machine_needs_a_token_where_nobody_else_does(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    script = (
        "import os, socket; os.setgid(65534); os.setuid(65534)\n"
        "s = socket.socket(socket.AF_UNIX); s.connect('native.sock')\n"
        f"s.send(bytes.fromhex('{encode_frame(Hello(1, 'c')).hex()}'))\n"
        "data = b''\nwhile part := s.recv(4096): data += part\nprint(data.hex())"
    )
    async with serve(tmp_path) as native:
        os.chmod(native.path, 0o777)
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=subprocess.PIPE, cwd=tmp_path)
        out, _ = await process.communicate()
        frame = bytes.fromhex(out.decode())
        header = decode_header(frame[PREFIX_BYTES : PREFIX_BYTES + int.from_bytes(frame[4:6], "little")])
        assert error(header) == ("unauthorized", "HELLO")
        assert not native.gateway.switch.sessions


async def test_a_first_write_whose_answer_would_be_too_large_is_answered_and_harms_nobody(tmp_path: Path) -> None:
    async with serve(tmp_path) as native:
        peer = await native.connect()
        # Quoted in the answer, each of these characters becomes four.
        peer.writer.write(encode_frame(Hello(1, "c")) + encode_frame(Unregister(7, "\x01" * 16_000)))
        assert isinstance((await peer.read())[0], Welcome)
        header, _ = await peer.read()
        assert isinstance(header, Error)
        assert (header.request, header.code) == (7, "not_found")
        assert native.gateway.crashes == []


async def test_a_fault_of_ours_while_the_first_frames_are_served_ends_that_connection_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(tmp_path) as native:
        monkeypatch.setattr(native.gateway.switch.requests, "subscribe", lambda *_: 1 / 0)
        peer = await native.connect()
        peer.writer.write(encode_frame(Hello(1, "c")) + encode_frame(Subscribe(7, "t")))
        assert isinstance((await peer.read())[0], Welcome)
        header, _ = await peer.read()
        assert isinstance(header, Error)
        assert header.code == "internal"
        await peer.closed()
        assert native.gateway.crashes == []
