"""The node's own functions, provider `init`: add, echo, time, whoami, longtext, randint, reverse, allrpcs, node_info.

They run inside the gateway, answer at once and hold no state. Arguments are a map, as the inner circle sends them; an argument
that is missing or of a wrong type is the caller's fault and comes back as `invalid_request`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any, Protocol

from majula.errors import InvalidRequest, NoProvider
from majula.rpc.operations import Service
from majula.wire.headers import Parameter

PROVIDER = "init"

Arguments = Mapping[str, Any]

# A whole number that any JSON reader keeps exact.
_EXACT = 1 << 53


class NodeView(Protocol):
    """What the functions may know of the node."""

    node_id: str

    def services_of(self, provider: str) -> Iterable[Service]:
        """Everything that this client id offers, the node's own under `init`."""

    def node_info(self) -> dict[str, Any]:
        """Version, gateways, clients, services: what `node_info` answers."""


class Builtins:
    """The functions of provider `init`.

    Args:
        view: of the node.
        wall_clock: seconds since 1970.
        random: for `randint`.
    """

    def __init__(self, view: NodeView, *, wall_clock: Callable[[], float], random: Random) -> None:
        self._view = view
        self._wall_clock = wall_clock
        self._random = random
        self._functions: dict[str, Callable[[Arguments], Any]] = {
            "add": self._add,
            "allrpcs": self._allrpcs,
            "echo": self._echo,
            "longtext": self._longtext,
            "node_info": self._node_info,
            "randint": self._randint,
            "reverse": self._reverse,
            "time": self._time,
            "whoami": self._whoami,
        }

    def __contains__(self, function: str) -> bool:
        return function in self._functions

    def run(self, function: str, arguments: object) -> Any:
        """The function's result.

        Raises:
            NoProvider: there is none of this name.
            InvalidRequest: the arguments are not what it takes.
        """
        found = self._functions.get(function)
        if found is None:
            raise NoProvider(f"the node has no function {function!r}", function=function, provider=PROVIDER)
        if arguments is None:
            arguments = {}
        if not isinstance(arguments, Mapping):
            raise InvalidRequest(f"{function} takes its arguments as a map of names to values")
        return found(arguments)

    def services(self) -> tuple[Service, ...]:
        """All of them, with what they take and return, by name."""
        return tuple(
            Service(
                name=name,
                provider=PROVIDER,
                node=self._view.node_id,
                note=note,
                parameters=parameters,
                results=results,
                idempotent=True,
            )
            for name, note, parameters, results in _DESCRIPTIONS
        )

    def _add(self, arguments: Arguments) -> dict[str, Any]:
        return {"sum": _number(arguments, "a") + _number(arguments, "b")}

    def _echo(self, arguments: Arguments) -> dict[str, Any]:
        return {"echo": dict(arguments)}

    def _time(self, _: Arguments) -> dict[str, Any]:
        return {"time": datetime.fromtimestamp(self._wall_clock(), UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")}

    def _whoami(self, _: Arguments) -> dict[str, Any]:
        return {"id": self._view.node_id}

    def _longtext(self, _: Arguments) -> dict[str, Any]:
        return {"data": "HelloWorld " * 100}

    def _randint(self, arguments: Arguments) -> dict[str, Any]:
        low, high = _whole(arguments, "min"), _whole(arguments, "max")
        if low > high:
            raise InvalidRequest("`min` is greater than `max`", parameter="min")
        return {"value": self._random.randint(low, high)}

    def _reverse(self, arguments: Arguments) -> dict[str, Any]:
        text = arguments.get("s")
        if not isinstance(text, str):
            raise InvalidRequest("`s` is the text to reverse", parameter="s")
        return {"reversed": text[::-1]}

    def _allrpcs(self, arguments: Arguments) -> Any:
        provider = arguments.get("rpc_provider")
        if not isinstance(provider, str) or not provider:
            return {"error": "rpc_provider is missing: the client id whose functions are asked for, or init"}
        return [{"name": service.name, "note": service.note} for service in self._view.services_of(provider)]

    def _node_info(self, _: Arguments) -> dict[str, Any]:
        return self._view.node_info()


def _number(arguments: Arguments, name: str) -> int | float:
    """A number; the inner circle's `/rpc` sends parameters of a URL, which are text."""
    value = arguments.get(name)
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            try:
                value = float(value)
            except ValueError:
                value = None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _EXACT:
        raise InvalidRequest(f"`{name}` is a number of at most 53 bits", parameter=name)
    return value


def _whole(arguments: Arguments, name: str) -> int:
    value = _number(arguments, name)
    if value != int(value):
        raise InvalidRequest(f"`{name}` is a whole number", parameter=name)
    return int(value)


_DESCRIPTIONS: tuple[tuple[str, str, tuple[Parameter, ...], tuple[Parameter, ...]], ...] = (
    (
        "add",
        "the sum of two numbers",
        (Parameter("a", "number"), Parameter("b", "number")),
        (Parameter("sum", "number"),),
    ),
    (
        "allrpcs",
        "the functions of one provider",
        (Parameter("rpc_provider", "string", "client id, or init"),),
        (Parameter("", "list of {name, note}"),),
    ),
    ("echo", "the arguments, unchanged", (), (Parameter("echo", "object"),)),
    ("longtext", "a text of 1,100 characters", (), (Parameter("data", "string"),)),
    ("node_info", "the node: id, version, gateways, clients, functions", (), (Parameter("", "object"),)),
    (
        "randint",
        "a random whole number, both ends included",
        (Parameter("min", "integer"), Parameter("max", "integer")),
        (Parameter("value", "integer"),),
    ),
    ("reverse", "a text backwards, by code point", (Parameter("s", "string"),), (Parameter("reversed", "string"),)),
    ("time", "the node's wall clock, RFC 3339, UTC", (), (Parameter("time", "string"),)),
    ("whoami", "the node's id", (), (Parameter("id", "string"),)),
)
