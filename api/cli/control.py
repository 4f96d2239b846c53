"""One question to a node's control socket."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from majula.errors import Unavailable, from_code

# 16 MiB: a status of thousands of roles; more is not an answer of ours.
_LONGEST_BYTES = 16 << 20


def ask(path: Path, question: dict[str, object], *, timeout_s: float = 5.0) -> dict[str, Any]:
    """The answer, one JSON object.

    Args:
        path: of the control socket.
        question: `{"command": "status"}` or `{"command": "stop"}`.
        timeout_s: seconds for each read.
    Raises:
        Unavailable: nobody answered in time.
        MajulaError: the node refused; code and sentence are its own.
    """
    received = bytearray()
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(path))
            connection.sendall(json.dumps(question).encode() + b"\n")
            while not received.endswith(b"\n") and len(received) < _LONGEST_BYTES:
                chunk = connection.recv(1 << 16)
                if not chunk:
                    break
                received += chunk
        answer = json.loads(received)
    except (OSError, ValueError) as error:
        raise Unavailable(f"the node at {path.parent} does not answer: {error or type(error).__name__}") from error
    if not isinstance(answer, dict) or answer.get("ok") is not True:
        found = answer if isinstance(answer, dict) else {}
        raise from_code(str(found.get("code", "error")), str(found.get("error", "the node refused")))
    return answer
