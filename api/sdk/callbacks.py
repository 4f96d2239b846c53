"""Whether something that a program gives us to call is to be awaited."""

from __future__ import annotations

import inspect
from collections.abc import Callable


def is_async(callback: Callable[..., object]) -> bool:
    """An `async def`, or an object whose call is one."""
    return inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(getattr(callback, "__call__", None))  # noqa: B004  # the method is inspected, not tested for
