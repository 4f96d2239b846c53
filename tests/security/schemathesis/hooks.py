"""Generated requests, changed where they would hold up the tests or take the node away. Loaded by the tool itself."""

from __future__ import annotations

from typing import Any

import schemathesis

LONGEST_S = 0.05
WAITS = ("wait_s", "for_s", "ttl_s")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """A valid time to wait is cut; a valid change of the configuration is only tried, as its ports would be others."""
    carried = case.body if case.method == "POST" else case.query
    if isinstance(carried, dict):
        # A message waits for its receiver until its time is over, and few may wait for all clients.
        usual = {"ttl_s": 60} if case.path.startswith(("/majula/send", "/majula/v1/broadcast")) else {}
        for name, value in (usual | carried).items():
            if name in WAITS and is_time(value):
                carried[name] = LONGEST_S
    if "/config" in case.path and isinstance(case.body, dict) and isinstance(case.body.get("dry_run", False), bool):
        case.body["dry_run"] = True

    if case.media_type == "application/json" and isinstance(case.body, dict | list):
        case.body = within_64_bits(case.body)


def within_64_bits(value: Any) -> Any:
    """Larger whole numbers are refused, and a schema has no word that parts them from floats of that size."""
    if isinstance(value, dict):
        return {key: within_64_bits(one) for key, one in value.items()}
    if isinstance(value, list):
        return [within_64_bits(one) for one in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return max(-(1 << 63), min(value, (1 << 64) - 1))
    return value


def is_time(value: object) -> bool:
    """Something that the node would wait for."""
    try:
        return 0 < float(value) <= 60  # type: ignore[arg-type] # what is no number is no time
    except (TypeError, ValueError):
        return False
