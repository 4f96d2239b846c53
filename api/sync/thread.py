"""The thread in which a synchronous client's event loop runs, and the threads in which a program's callbacks do."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import importlib
import inspect
import logging
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from majula.api.sdk.callbacks import is_async
from majula.api.sdk.message import Message
from majula.api.sdk.subscription import RunCallback
from majula.errors import ConnectionLost, InvalidRequest

R = TypeVar("R")
P = ParamSpec("P")

_log = logging.getLogger("majula.sdk")

_STOP_S = 5.0
_SLICE_S = 0.2
"""On Windows a thread that waits for a lock does not hear Ctrl-C; there it waits in slices."""


class LoopThread:
    """An event loop in a thread of its own, for callers in any other thread.

    Args:
        name: of the thread.
        threads: how many callbacks and functions of the program may run at one time.
    """

    def __init__(self, name: str, *, threads: int) -> None:
        if threads < 1:
            raise InvalidRequest("threads is at least 1")
        self._loop = _new_loop()
        self._pid = os.getpid()
        self._is_stopping = False
        self._gate = threading.Lock()  # nothing is handed to a loop that has been told to stop: it would never be answered
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._workers = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix=f"{name} callbacks")
        # What is told (states, errors) keeps its order: one thread, started when something is told.
        self._teller = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix=f"{name} tells")
        self._thread.start()

    def wait(self, awaitable: Awaitable[R]) -> R:
        """The result of something that is awaited in the loop. Ctrl-C, or any exception in the waiting, cancels it.

        Raises:
            InvalidRequest: called from the loop's own thread, which would wait for itself, or after a fork.
            ConnectionLost: the thread has ended.
        """
        try:
            self._check_caller()
            future = self._submit(_await(awaitable))
        except BaseException:  # Ctrl-C among them
            if inspect.iscoroutine(awaitable):
                with contextlib.suppress(ValueError, RuntimeError):  # the loop has it already
                    awaitable.close()
            raise
        return self._result(future)

    def call(self, function: Callable[P, R], /, *arguments: P.args, **keywords: P.kwargs) -> R:
        """The result of a plain function that is called in the loop."""
        return self._result(self._submit(_called(function, *arguments, **keywords)))

    def future(
        self, function: Callable[P, asyncio.Future[R]], /, *arguments: P.args, **keywords: P.kwargs
    ) -> concurrent.futures.Future[R]:
        """The same for a function that begins something: what it has begun, as a future for threads; cancelling reaches it."""
        inner = self.call(function, *arguments, **keywords)
        return self._submit(_await(inner))

    def handed(self, callback: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
        """A plain function of the program as an `async def` for the client: it runs in one of the callback threads.

        Raises:
            InvalidRequest: it is async, or cannot be called.
        """
        _check_plain(callback)

        @functools.wraps(callback)
        async def hand(*arguments: Any, **keywords: Any) -> Any:
            return await self._loop.run_in_executor(self._workers, functools.partial(callback, *arguments, **keywords))

        return hand

    def run_handed(self, callback: Callable[[Message], Any]) -> RunCallback:
        """The same for a callback of messages, several of which cross at one time: a step costs as much as twenty of them.

        Raises:
            InvalidRequest: it is async, or cannot be called.
        """
        _check_plain(callback)
        return _Crossing(callback, self._loop, self._workers)

    def told(self, callback: Callable[..., object]) -> Callable[..., None]:
        """A plain function of the program that is told something, in the order of the telling, and cannot hold up the loop."""
        _check_plain(callback)

        def tell(*arguments: Any) -> None:
            try:
                self._teller.submit(_guarded, callback, arguments)
            except RuntimeError:  # the interpreter ends, and takes no more work
                _log.debug("callback.skipped callback=%r", callback)

        return tell

    def stop(self) -> None:
        """End the loop and the threads. A callback that still runs is not waited for."""
        self._teller.shutdown(wait=False)
        self._workers.shutdown(wait=False, cancel_futures=True)
        if os.getpid() != self._pid:
            return
        with self._gate:
            is_first, self._is_stopping = not self._is_stopping, True
            if is_first:
                self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            # Whoever still waits in another thread is let go.
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def _submit(self, coroutine: Coroutine[Any, Any, R]) -> concurrent.futures.Future[R]:
        try:
            self._check_caller()
            with self._gate:
                if self._is_stopping:
                    raise ConnectionLost("the client is closed")
                return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except BaseException:
            coroutine.close()
            raise

    def _check_caller(self) -> None:
        if threading.current_thread() is self._thread:
            raise InvalidRequest("the synchronous client cannot be used inside its own event loop")
        if os.getpid() != self._pid:
            raise InvalidRequest("this client was made before the process forked; make one in each process")
        if self._is_stopping:
            raise ConnectionLost("the client is closed")

    def _result(self, future: concurrent.futures.Future[R]) -> R:
        try:
            if sys.platform != "win32":
                return future.result()
            while True:
                done, _ = concurrent.futures.wait((future,), _SLICE_S)
                if done:
                    return future.result()
        except concurrent.futures.CancelledError:
            raise ConnectionLost("the client was closed in the meantime") from None
        except BaseException:
            future.cancel()
            raise


class _Crossing(RunCallback):
    """A plain callback in the callback threads."""

    def __init__(
        self, callback: Callable[[Message], Any], loop: asyncio.AbstractEventLoop, workers: concurrent.futures.Executor
    ) -> None:
        self._callback, self._loop, self._workers = callback, loop, workers

    async def __call__(self, message: Message) -> object:
        return await self._loop.run_in_executor(self._workers, self._callback, message)

    async def take_run(self, messages: list[Message], is_over: Callable[[], bool]) -> list[tuple[Message, Exception]]:
        return await self._loop.run_in_executor(self._workers, self._each, messages, is_over)

    def _each(self, messages: list[Message], is_over: Callable[[], bool]) -> list[tuple[Message, Exception]]:
        failed: list[tuple[Message, Exception]] = []
        for message in messages:
            if is_over():
                break
            try:
                self._callback(message)
            except Exception as error:
                failed.append((message, error))
        return failed


async def _await(awaitable: Awaitable[R]) -> R:
    return await awaitable


async def _called(function: Callable[P, R], /, *arguments: P.args, **keywords: P.kwargs) -> R:
    return function(*arguments, **keywords)


def _guarded(callback: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    try:
        callback(*arguments)
    except Exception:
        _log.exception("callback.failed callback=%r", callback)


def _check_plain(callback: Callable[..., Any]) -> None:
    if not callable(callback):
        raise InvalidRequest("a callback is something that can be called")
    if is_async(callback):
        raise InvalidRequest("the synchronous client takes plain functions; `async def` belongs to majula.connect")


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        uvloop = importlib.import_module("uvloop")
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
