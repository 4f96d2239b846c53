"""Runs this client's functions when calls come in.

Plain functions run at once. `async def` functions run in long-lived worker tasks: a task a call would cost more than all the
rest of a call together. One worker is woken for a burst of calls; only when its handler really waits are others woken for what is
left.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from types import CoroutineType
from typing import Any

from majula.api.sdk.calls import result_frame
from majula.api.sdk.functions import Function
from majula.api.sdk.shape import Encode, decode_payload
from majula.errors import InvalidRequest, NoProvider, Overloaded, RemoteError, TooLarge
from majula.wire.frames import encode_frame
from majula.wire.headers import Call, Fault, Result

_log = logging.getLogger("majula.sdk")

IDLE_WORKERS = 64
"""How many tasks stay when there is nothing to do; more end."""

RETRY_AFTER_S = 0.1

_Job = tuple[int, Function, Coroutine[Any, Any, Any] | None, tuple[Any, ...], dict[str, Any]]


class Provider:
    """The functions of one client and the calls that run in them.

    Args:
        send: writes a frame of the present session.
        spawn: starts a task that the client ends when it closes.
        encode: what makes bytes of results.
        concurrency: calls of async functions that run or wait at one time; beyond, a caller gets `overloaded`.
    """

    def __init__(
        self,
        *,
        send: Callable[[bytes], None],
        spawn: Callable[..., asyncio.Task[None]],
        encode: Encode,
        concurrency: int,
    ) -> None:
        self.functions: dict[str, Function] = {}
        self.message_bytes = 1 << 20
        self.served = self.failed = 0
        self._send = send
        self._spawn = spawn
        self._encode = encode
        self._concurrency = concurrency
        self._queue: deque[_Job] = deque()
        self._open: dict[int, asyncio.Task[None] | None] = {}  # None: waits in the queue
        self._idle: list[asyncio.Future[None]] = []
        self._workers = 0
        self._is_spreading = False
        self._is_closed = False

    @property
    def running(self) -> int:
        """Calls that were taken and are not answered yet."""
        return len(self._open)

    def receive(self, header: Call, body: bytes) -> None:
        """A call came in. Nothing that a caller sends raises here: it is answered."""
        function = self.functions.get(header.function)
        number = header.call
        if function is None:
            self._refuse(number, NoProvider.code, f"this client does not offer {header.function}")
            return
        try:
            arguments, keywords = function.bind(decode_payload(header.encoding, body))
        except InvalidRequest as error:
            self._refuse(number, error.code, error.message)
            return
        if not function.is_async:
            try:
                value = function.call(*arguments, **keywords)
            except Exception as error:
                self._raised(number, function, error)
                return
            if type(value) is not CoroutineType:
                self._answer(number, function, value)
                return
            self._accept((number, function, value, (), {}))  # a plain callable around an async one
            return
        self._accept((number, function, None, arguments, keywords))

    def cancel(self, number: int) -> None:
        """The caller has gone: its handler gets CancelledError, or never starts."""
        task = self._open.pop(number, None)
        if task is not None:
            task.cancel()

    def end_session(self) -> None:
        """Callers cannot be answered any more: cancel what runs."""
        for number in list(self._open):
            self.cancel(number)

    def close(self) -> None:
        """Nothing runs here any more; whoever spawned the workers cancels them."""
        self._is_closed = True
        self._open.clear()
        for _, _, coroutine, _, _ in self._queue:
            if coroutine is not None:
                coroutine.close()
        self._queue.clear()

    def _accept(self, job: _Job) -> None:
        if len(self._open) >= self._concurrency:
            if job[2] is not None:
                job[2].close()
            text = f"{self._concurrency} calls are running here"
            self._send(encode_frame(Result(job[0], fault=Fault(Overloaded.code, text, retry_after_s=RETRY_AFTER_S))))
            return
        self._open[job[0]] = None
        self._queue.append(job)
        if not self._is_spreading:
            self._is_spreading = True
            self._wake_one()
            asyncio.get_running_loop().call_soon(self._spread)

    def _spread(self) -> None:
        """Runs right after the step of the worker that was woken: what is still queued needs workers of its own."""
        self._is_spreading = False
        for _ in range(len(self._queue)):
            if not self._wake_one():
                return

    def _wake_one(self) -> bool:
        while self._idle:
            waiter = self._idle.pop()
            if not waiter.done():
                waiter.set_result(None)
                return True
        if self._workers < self._concurrency:
            self._workers += 1
            self._spawn(self._work(), name="majula provider")
            return True
        return False

    async def _work(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        try:
            while not self._is_closed:
                while self._queue:
                    await self._run(self._queue.popleft(), task)
                if len(self._idle) >= IDLE_WORKERS:
                    return
                waiter: asyncio.Future[None] = loop.create_future()
                self._idle.append(waiter)
                await waiter
        finally:
            self._workers -= 1

    async def _run(self, job: _Job, task: asyncio.Task[None]) -> None:
        number, function, coroutine, arguments, keywords = job
        if number not in self._open:
            if coroutine is not None:
                coroutine.close()
            return
        self._open[number] = task
        try:
            value = await (function.call(*arguments, **keywords) if coroutine is None else coroutine)
        except asyncio.CancelledError as error:
            if self._is_closed:
                raise
            if self._still_wanted(number, task):
                # Not for its caller: the handler awaited something that somebody else cancelled.
                self._raised(number, function, error)
            return
        except Exception as error:
            if self._still_wanted(number, task):
                self._raised(number, function, error)
            return
        if self._still_wanted(number, task):
            self._answer(number, function, value)

    def _still_wanted(self, number: int, task: asyncio.Task[None]) -> bool:
        if number in self._open:
            del self._open[number]
            return True
        while task.cancelling():  # for its caller; the worker lives on
            task.uncancel()
        return False

    def _answer(self, number: int, function: Function, value: object) -> None:
        try:
            encoding, body = self._encode(value)
        except InvalidRequest as error:
            self._raised(number, function, error)
            return
        if len(body) > self.message_bytes:
            large = TooLarge(f"the result has {len(body)} bytes, {self.message_bytes} are allowed")
            self._raised(number, function, large)
            return
        self.served += 1
        self._send(result_frame(number, encoding, body))

    def _raised(self, number: int, function: Function, error: BaseException) -> None:
        self.failed += 1
        _log.info("handler.failed function=%s error=%s", function.name, type(error).__name__, exc_info=error)
        fault = Fault(RemoteError.code, _text(error), type(error).__name__)
        self._send(encode_frame(Result(number, fault=fault)))

    def _refuse(self, number: int, code: str, message: str) -> None:
        self._send(encode_frame(Result(number, fault=Fault(code, message))))


def _text(error: BaseException) -> str:
    """An exception's text, short enough for a header and safe to encode; a program's own `__str__` may raise."""
    try:
        return str(error)[:8_000].encode("utf-8", "replace").decode()
    except Exception:
        return "(its text cannot be made)"
