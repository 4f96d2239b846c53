"""`Client` of the synchronous client."""

# Written by `python api/sync/generate.py` from majula/api/sdk/client.py: change that one.

from __future__ import annotations

from majula.api.sdk.states import State
from majula.api.sdk.statistics import Statistics
from majula.api.sync.administration import Administration
from majula.api.sync.calling import Calling
from majula.api.sync.messaging import Messaging
from majula.api.sync.observation import Observation


class Client(Messaging, Calling, Observation, Administration):
    """One program's session with a node; made by `majula.sync.connect`.

    It reconnects by itself: subscriptions and functions are in force again before `connected` is told. Any thread may
    use it.
    """

    @property
    def state(self) -> State:
        """The last change that `on_state` was told, but for `slow`."""
        return self._async.state

    @property
    def client_id(self) -> str:
        """The id that the gateway knows this client by; others name it as `provider`."""
        return self._async.client_id

    @property
    def node_id(self) -> str:
        """The node that this client is attached to."""
        return self._async.node_id

    @property
    def gateway(self) -> str:
        """The gateway that serves it, for messages to people."""
        return self._async.gateway

    def statistics(self) -> Statistics:
        """What this connection has done, as it is now."""
        return self._thread.call(self._async.statistics)
