"""The whole error tree. One class a code; the same code in HTTP, WebSocket, SDK, CLI and logs; no code is ever reused.

    MajulaError
    ├── CallerError                    the request itself is at fault; sending it again does not help
    │   ├── InvalidRequest             invalid_request      400
    │   ├── Unauthorized               unauthorized         401
    │   ├── PermissionDenied           permission_denied    403
    │   ├── CrossSite                  cross_site           403
    │   ├── NotFound                   not_found            404
    │   │   ├── NoProvider             no_provider          404
    │   │   ├── NoSuchNode             no_such_node         404
    │   │   └── NoRoute                no_route             404
    │   ├── MethodNotAllowed           method_not_allowed   405
    │   ├── Conflict                   conflict             409
    │   ├── TooLarge                   too_large            413
    │   ├── UnsupportedMedia           unsupported_media    415
    │   ├── WrongHost                  wrong_host           421
    │   ├── LimitReached               limit_reached        429
    │   └── ConfigError                config_invalid       400  (exit code 78 at start)
    ├── PeerError                      the other side of the exchange failed
    │   ├── RemoteError                remote_error         502
    │   ├── ProviderLost               provider_lost        502
    │   ├── ProtocolError              protocol_error       400
    │   └── ConnectionLost             connection_lost      503
    ├── OwnError                       our fault; a stranger learns the trace id only
    │   ├── InternalError              internal             500
    │   └── NotBuilt                   not_built            501
    └── NotNow                         the same request may succeed later
        ├── Overloaded                 overloaded           503  (`retry_after_s`)
        ├── Draining                   draining             503
        ├── Unavailable                unavailable          503
        ├── DiskFull                   disk_full            507
        ├── Cancelled                  cancelled            499
        ├── Expired                    expired              504
        └── DeadlineExceeded           deadline_exceeded    504

Cores and actors raise or return these; the edges alone know HTTP (`status`) and translate once, by `to_dict` and `from_code`.
"""

from __future__ import annotations

from typing import ClassVar


class MajulaError(Exception):
    """Root of the tree. `str(error)` is one sentence that says what is wrong and, where it can, what to do.

    Args:
        message: the sentence.
        detail: fields for machines, JSON values only; part of the public answer.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(self, message: str = "", **detail: object) -> None:
        super().__init__(message or (self.__doc__ or self.code).splitlines()[0])
        self.detail: dict[str, object] = detail

    @property
    def message(self) -> str:
        return str(self.args[0])

    def to_dict(self) -> dict[str, object]:
        """The public form, the body of every error answer (API.md of the design: error, code, detail)."""
        return {"error": self.message, "code": self.code, "detail": self.detail}


class CallerError(MajulaError):
    """The request itself is at fault; sending it again does not help."""

    code = "caller_error"
    status = 400


class InvalidRequest(CallerError):
    """The request cannot be understood."""

    code = "invalid_request"
    status = 400


class Unauthorized(CallerError):
    """A valid token is needed."""

    code = "unauthorized"
    status = 401


class PermissionDenied(CallerError):
    """The token does not grant this; `scope` in the detail names what is missing."""

    code = "permission_denied"
    status = 403


class CrossSite(CallerError):
    """A request from another web site is not served; allow its origin in the configuration if it is yours."""

    code = "cross_site"
    status = 403


class NotFound(CallerError):
    """There is no such thing."""

    code = "not_found"
    status = 404


class NoProvider(NotFound):
    """Nobody offers this function."""

    code = "no_provider"
    status = 404


class NoSuchNode(NotFound):
    """No node of this name can be reached."""

    code = "no_such_node"
    status = 404


class NoRoute(NotFound):
    """No client of this id is there to receive the message."""

    code = "no_route"
    status = 404


class MethodNotAllowed(CallerError):
    """This path changes something and is not served for this HTTP method."""

    code = "method_not_allowed"
    status = 405


class Conflict(CallerError):
    """The name is taken by another session."""

    code = "conflict"
    status = 409


class TooLarge(CallerError):
    """The message is larger than the limit that `limit_bytes` in the detail names."""

    code = "too_large"
    status = 413


class UnsupportedMedia(CallerError):
    """The body's content type is not served here."""

    code = "unsupported_media"
    status = 415


class WrongHost(CallerError):
    """The Host header names a host that this gateway does not serve; see `majula_servers[].hosts`."""

    code = "wrong_host"
    status = 421


class LimitReached(CallerError):
    """A limit of this client is reached; `limit` in the detail names it."""

    code = "limit_reached"
    status = 429


class ConfigError(CallerError):
    """The configuration cannot be used. `problems` holds one line for each, `file:line:column: message`."""

    code = "config_invalid"
    status = 400

    def __init__(self, message: str = "", *, problems: tuple[str, ...] = (), **detail: object) -> None:
        super().__init__(message or "\n".join(problems), **detail)
        self.problems = problems


class PeerError(MajulaError):
    """The other side of the exchange failed."""

    code = "peer_error"
    status = 502


class RemoteError(PeerError):
    """The handler of the called function raised; `type` and `message` are its own."""

    code = "remote_error"
    status = 502

    def __init__(self, message: str = "", *, type: str = "Exception", **detail: object) -> None:
        super().__init__(message or type, type=type, **detail)
        self.type = type


class ProviderLost(PeerError):
    """The provider went away before it answered; whether its handler ran is unknown."""

    code = "provider_lost"
    status = 502


class ProtocolError(PeerError):
    """The peer sent what the protocol does not allow; the connection is closed."""

    code = "protocol_error"
    status = 400


class ConnectionLost(PeerError):
    """The connection to the node broke before the answer came; whether the request was carried out is unknown."""

    code = "connection_lost"
    status = 503


class OwnError(MajulaError):
    """Our fault."""

    code = "own_error"
    status = 500


class InternalError(OwnError):
    """Something broke in the node; its log has the story under the trace id in the detail."""

    code = "internal"
    status = 500


class NotBuilt(OwnError):
    """This operation belongs to the API but is not built yet in this version."""

    code = "not_built"
    status = 501


class NotNow(MajulaError):
    """The same request may succeed later.

    Args:
        retry_after_s: seconds after which a retry makes sense; 0 where nothing is known.
    """

    code = "not_now"
    status = 503

    def __init__(self, message: str = "", *, retry_after_s: float = 0.0, **detail: object) -> None:
        if retry_after_s:
            detail["retry_after_s"] = retry_after_s
        super().__init__(message, **detail)
        self.retry_after_s = retry_after_s


class Overloaded(NotNow):
    """A queue on the way is full."""

    code = "overloaded"
    status = 503


class Draining(NotNow):
    """The node is stopping and takes no new work; connect again."""

    code = "draining"
    status = 503


class Unavailable(NotNow):
    """A part of the node that this request needs is not there right now."""

    code = "unavailable"
    status = 503


class DiskFull(NotNow):
    """The change needs disk space that is not there; nothing was changed."""

    code = "disk_full"
    status = 507


class Cancelled(NotNow):
    """The call was cancelled before it was answered."""

    code = "cancelled"
    status = 499


class Expired(NotNow):
    """The message was not acknowledged in its `ttl_s`; whether it was received is unknown."""

    code = "expired"
    status = 504


class DeadlineExceeded(NotNow):
    """No answer before the deadline; whether the handler ran is unknown."""

    code = "deadline_exceeded"
    status = 504


def _leaves(cls: type[MajulaError]) -> list[type[MajulaError]]:
    found = [cls]
    for child in cls.__subclasses__():
        found += _leaves(child)
    return found


BY_CODE: dict[str, type[MajulaError]] = {cls.code: cls for cls in _leaves(MajulaError)}


def from_code(code: str, message: str, detail: dict[str, object] | None = None) -> MajulaError:
    """The error that another process described by `to_dict`. An unknown code (a newer peer) becomes a plain MajulaError."""
    fields = dict(detail or {})
    cls = BY_CODE.get(code, MajulaError)
    if issubclass(cls, RemoteError):
        return cls(message, type=str(fields.pop("type", "Exception")), **fields)
    if issubclass(cls, NotNow):
        after = fields.pop("retry_after_s", 0.0)
        return cls(message, retry_after_s=float(after) if isinstance(after, int | float) else 0.0, **fields)
    if issubclass(cls, ConfigError):
        fields.pop("problems", None)
    return cls(message, **fields)
