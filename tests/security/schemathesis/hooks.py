"""Generated requests, changed where they would hold up the tests or take the node away. Loaded by the tool itself."""

from __future__ import annotations

from typing import Any

import schemathesis

LONGEST_S = 0.05
WAITS = ("wait_s", "for_s", "ttl_s")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """A valid time to wait is cut; a valid change of the configuration is only tried, as its ports would be others."""
    for part in (case.body, case.query):
        for name in WAITS:
            if isinstance(part, dict) and is_time(part.get(name)):
                part[name] = LONGEST_S
    if "/config" in case.path and isinstance(case.body, dict) and isinstance(case.body.get("dry_run", False), bool):
        case.body["dry_run"] = True


def is_time(value: object) -> bool:
    """Something that the node would wait for."""
    try:
        return 0 < float(value) <= 60  # type: ignore[arg-type] # what is no number is no time
    except (TypeError, ValueError):
        return False
