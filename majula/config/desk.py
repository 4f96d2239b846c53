"""From what is asked of the config actor to what is done with the configuration, and to answers, events and audit entries."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from majula.config.live import LiveConfiguration, Outcome
from majula.config.operations import CHANGE, OPERATIONS, RELOAD, REVISIONS, ROLLBACK, SHOW
from majula.errors import ConfigError, InvalidRequest, MajulaError
from majula.messages.operations import Perform, Performed, answered, refused

SERVED = frozenset(operation.name for operation in OPERATIONS)
"""Operations that are answered here."""

_REQUESTS = {operation.name: operation.request for operation in OPERATIONS}
_KEYS_SHOWN = 20


class Done(Struct, frozen=True):
    """What came of a question.

    Args:
        reply: for whoever asked.
        outcome: None: nothing was changed.
        is_dry: it was only tried.
        what: the audit's word for it.
        refused: why a file was not taken; one line each.
    """

    reply: Performed
    outcome: Outcome | None = None
    is_dry: bool = False
    what: str = ""
    refused: tuple[str, ...] = ()


def perform_config(live: LiveConfiguration, message: Perform, at: float) -> Done:
    """Carry out one of `SERVED`. Reads and writes files: call it in a thread.

    Args:
        at: seconds since 1970.
    """
    try:
        request: Any = msgspec.msgpack.decode(message.parameters, type=_REQUESTS[message.operation])
        found = _carry_out(live, message, request, at)
    except msgspec.DecodeError as error:
        return Done(refused(message, InvalidRequest(str(error))))
    except ConfigError as error:
        is_file = message.operation == RELOAD.name and not request.dry_run
        return Done(refused(message, error), refused=error.problems if is_file else ())
    except MajulaError as error:
        return Done(refused(message, error))
    if isinstance(found, Outcome):
        return Done(answered(message, found.answer), found, request.dry_run, message.operation)
    return Done(answered(message, found))


def _carry_out(live: LiveConfiguration, message: Perform, request: Any, at: float) -> Struct:
    who = message.caller.who
    match message.operation:
        case SHOW.name:
            return live.show(request)
        case REVISIONS.name:
            return live.revisions()
        case CHANGE.name:
            return live.change(request, who=who, at=at)
        case ROLLBACK.name:
            return live.rollback(request.revision, who=who, at=at, is_dry=request.dry_run)
        case _:
            return live.reload(who=who, at=at, is_dry=request.dry_run)


def noted(outcome: Outcome) -> dict[str, object]:
    """The audit's detail: which keys, without their values."""
    answer = outcome.answer
    restart = [item.path for item in answer.items if item.effect == "restart"]
    return {
        "revision": answer.revision,
        "keys": [item.path for item in answer.items[:_KEYS_SHOWN]],
        "more": max(0, len(answer.items) - _KEYS_SHOWN),
        "restart": restart[:_KEYS_SHOWN],
    }


def told(outcome: Outcome, who: str) -> dict[str, int | str]:
    """The fields of the event `config.changed`."""
    answer = outcome.answer
    restart = [item.path for item in answer.items if item.effect == "restart"]
    return {
        "revision": answer.revision,
        "who": who,
        "keys": ", ".join(item.path for item in answer.items[:_KEYS_SHOWN]),
        "restart": ", ".join(restart[:_KEYS_SHOWN]),
    }
