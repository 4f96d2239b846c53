"""The only pickles that are ever read: Thespian's own messages between actors of one run directory.

A pickle may name any importable callable and have it called. So the reader looks every name up in a list of the classes that
Thespian's parts send to each other, and builds nothing else. Messages of Majula actors are typed msgpack and never come here.
A system that is started with the capability `plain_messages` reads the messages of plain Thespian actors too, whatever their
class; Thespian's own test suite needs that, a node never starts so.
"""

from __future__ import annotations

import io
import logging
import pickle  # what is read passes the allow-list below
from typing import Any, Final

from thespian.system.addressManager import CannotPickleAddress

_ALLOWED: Final = frozenset(
    (module, name)
    for module, names in {
        "builtins": "set frozenset complex bytearray range",
        "datetime": "timedelta datetime",
        "logging": "LogRecord",
        "majula.actorsystem.address": "SocketAddress",
        "thespian.actors": "ActorAddress ActorExitRequest ActorSystemConventionUpdate ChildActorExited DeadEnvelope LoadedSource"
        " PoisonMessage UnloadedSource ValidateSource ValidatedSource WakeupMessage WatchMessage",
        "thespian.system.logdirector": "LoggerExitRequest LoggerFileDup LogAggregator",
        "thespian.system.messages.admin": "QueryExists QueryAck SystemShutdown SystemShutdownCompleted PendingActor"
        " PendingActorResponse HandleDeadLetters CapabilityUpdate NewCapabilities RegisterSourceAuthority"
        " NotifyOnSourceAvailability",
        "thespian.system.messages.convention": "ConventionRegister ConventionDeRegister ConventionInvite"
        " NotifyOnSystemRegistration SourceHashTransferRequest SourceHashTransferReply",
        "thespian.system.messages.logcontrol": "SetLogging",
        "thespian.system.messages.multiproc": "EndpointConnected LoggerConnected",
        "thespian.system.messages.status": "Thespian_StatusReq Thespian_SystemStatus Thespian_ActorStatus",
        "thespian.system.timing": "ExpirationTimer",
    }.items()
    for name in names.split()
)

_BUILTIN_TYPES: Final = (str, int, float, bool, bytes, type(None))


class NotAllowed(Exception):
    """The pickle, or the message, is of a class that is not sent between actors of this system."""


class _ListedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise NotAllowed(f"{module}.{name} is not among the classes that actors of this system exchange")
        return super().find_class(module, name)


def _plain_record(record: logging.LogRecord) -> logging.LogRecord:
    """A log record as text and numbers: its arguments may be anything, and the logger needs none of it."""
    text = record.getMessage()
    plain = logging.makeLogRecord(
        {
            name: value if isinstance(value, _BUILTIN_TYPES) else str(value)
            for name, value in record.__dict__.items()
            if name not in {"args", "exc_info", "msg"}
        }
    )
    plain.msg, plain.args, plain.exc_info = text, None, None
    return plain


def dumps(message: object, *, plain_messages: bool) -> bytes:
    """The message as a pickle.

    Raises:
        NotAllowed: a class that the reader would refuse; a plain actor's own message needs the capability `plain_messages`.
        CannotPickleAddress: it holds the address of a child that is not up yet (Thespian tries again when it is).
    """
    if isinstance(message, logging.LogRecord):
        message = _plain_record(message)
    elif not plain_messages and (type(message).__module__, type(message).__qualname__) not in _ALLOWED:
        raise NotAllowed(f"{type(message)!r} is not a Majula message, and this system was started without `plain_messages`")
    return pickle.dumps(message, pickle.HIGHEST_PROTOCOL)


def loads(data: bytes | memoryview, *, plain_messages: bool) -> Any:
    """The message in `data`.

    Raises:
        NotAllowed: a class that is not on the list.
        Exception: whatever a broken pickle raises; the caller closes the connection.
    """
    if plain_messages:
        return pickle.loads(data)  # noqa: S301 - only a system that was started for plain Thespian actors
    return _ListedUnpickler(io.BytesIO(data)).load()


__all__ = ["CannotPickleAddress", "NotAllowed", "dumps", "loads"]
