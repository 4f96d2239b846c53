"""A typed function becomes a service: its signature gives the metadata and says how a payload becomes its arguments.

A payload that is a map whose keys are parameter names is passed as keyword arguments; a function with one parameter takes any
other payload as it is; None calls a function that needs no argument. Annotated parameters are checked and converted.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from majula.api.sdk.callbacks import is_async
from majula.errors import InvalidRequest
from majula.wire.headers import Parameter


class Function(msgspec.Struct, frozen=True):
    """What is registered, and how it is called.

    converters: per parameter the type that its value is converted to.
    whole: name of the one parameter that takes a payload which is no map of parameters; empty: there is none.
    required: parameters without a default.
    """

    name: str
    call: Callable[..., Any]
    is_async: bool
    parameters: tuple[Parameter, ...]
    results: tuple[Parameter, ...]
    note: str
    idempotent: bool
    names: frozenset[str]
    required: frozenset[str]
    whole: str
    takes_any: bool
    converters: dict[str, Any]

    def bind(self, payload: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments for `payload`.

        Raises:
            InvalidRequest: it does not fit the signature.
        """
        if type(payload) is dict and self.fits(payload):
            if not self.converters:
                return (), payload
            return (), {name: self._convert(name, value) for name, value in payload.items()}
        if payload is None and not self.required:
            return (), {}
        if self.whole:
            return (self._convert(self.whole, payload) if self.converters else payload,), {}
        raise InvalidRequest(f"{self.name} takes a map with {self._expected()}")

    def fits(self, payload: dict[Any, Any]) -> bool:
        """Are the keys parameters, and are all required ones there?"""
        if not payload and self.whole and self.required:
            return False
        keys = payload.keys()
        return self.required <= keys and (keys <= self.names or (self.takes_any and all(isinstance(key, str) for key in keys)))

    def _convert(self, name: str, value: Any) -> Any:
        wanted = self.converters.get(name)
        if wanted is None:
            return value
        try:
            return msgspec.convert(value, wanted, strict=False)
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"{self.name}: {name}: {error}") from None

    def _expected(self) -> str:
        if not self.names:
            return "no arguments"
        return ", ".join(p.name if p.name in self.required else f"[{p.name}]" for p in self.parameters)


def describe(call: Callable[..., Any], *, name: str = "", note: str = "", idempotent: bool = False) -> Function:
    """Read a function's signature.

    Args:
        call: any callable with a signature; `async def` runs as a task of its own, a plain one must not block.
        name: what it is registered as; empty: its own name.
        note: one sentence for people; empty: the first line of its docstring.
        idempotent: running it twice does no harm.
    Raises:
        InvalidRequest: it takes more than one positional-only parameter, or has no name.
    """
    signature = inspect.signature(call)
    hints = _hints(call)
    parameters: list[Parameter] = []
    converters: dict[str, Any] = {}
    names: list[str] = []
    required: list[str] = []
    positional: list[str] = []
    takes_any = False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            takes_any = True
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            continue
        annotation = hints.get(parameter.name, Any)
        if parameter.kind is not parameter.KEYWORD_ONLY:
            positional.append(parameter.name)
        if parameter.kind is parameter.POSITIONAL_ONLY and len(signature.parameters) > 1:
            raise InvalidRequest(f"parameter {parameter.name} is positional only; arguments travel by name")
        if parameter.kind is not parameter.POSITIONAL_ONLY:
            names.append(parameter.name)
        if parameter.default is parameter.empty:
            required.append(parameter.name)
        parameters.append(Parameter(parameter.name, *_in_words(annotation)))
        if _is_convertible(annotation):
            converters[parameter.name] = annotation
    own_name = name or getattr(call, "__name__", "")
    if not own_name or own_name == "<lambda>":
        raise InvalidRequest("this callable has no name of its own: give one")
    doc = inspect.getdoc(call) if inspect.isroutine(call) else ""
    return Function(
        name=own_name,
        call=call,
        is_async=is_async(call),
        parameters=tuple(parameters),
        results=_results(hints.get("return", inspect.Signature.empty)),
        note=note or (doc or "").split("\n", 1)[0].strip(),
        idempotent=idempotent,
        names=frozenset(names),
        required=frozenset(required),
        whole=positional[0] if len(positional) == 1 and set(required) <= set(positional) else "",
        takes_any=takes_any,
        converters=converters,
    )


def _hints(call: Callable[..., Any]) -> dict[str, Any]:
    """The annotations, resolved where they can be: a name known to the type checker only is no reason to refuse a function."""
    for candidate in (call, getattr(call, "__call__", None)):  # noqa: B004  # an object's annotations are its method's
        try:
            hints = get_type_hints(candidate, include_extras=True)
        except (NameError, TypeError, AttributeError):
            continue
        if hints:
            return hints
    return {}


def _is_convertible(annotation: Any) -> bool:
    if annotation in (Any, object, inspect.Parameter.empty):
        return False
    try:
        kind = msgspec.inspect.type_info(annotation)
    except (TypeError, NameError):
        return False
    return not isinstance(kind, msgspec.inspect.AnyType | msgspec.inspect.CustomType)


def _in_words(annotation: Any) -> tuple[str, str]:
    """(type in words, note) of an annotation; the note is a string in `Annotated`."""
    note = ""
    if get_origin(annotation) is Annotated:
        annotation, *extras = get_args(annotation)
        note = next((extra for extra in extras if isinstance(extra, str)), "")
    if annotation is Any or annotation is inspect.Parameter.empty:
        return "", note
    if isinstance(annotation, type) and not get_args(annotation):
        return ("null" if annotation is type(None) else annotation.__name__), note
    return str(annotation).replace("typing.", ""), note


def _results(annotation: Any) -> tuple[Parameter, ...]:
    if annotation in (inspect.Signature.empty, None, type(None)):
        return ()
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return tuple(Parameter(field.encode_name, *_in_words(field.type)) for field in msgspec.structs.fields(annotation))
    return (Parameter("result", *_in_words(annotation)),)
