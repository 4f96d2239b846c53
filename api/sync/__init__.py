"""The Python client for programs without an event loop: `majula.sync.connect(address)`.

All rules and all traffic are those of `majula.api.sdk`: an asyncio client in a private thread. `thread` is that thread and
those of the callbacks, `attached` what the verbs stand on, `subscription` the iterator, `entry` where a program begins. The
verbs themselves (`publishing`, `calling`, `messaging`, `asking`, `observation`, `administration`, `client`) are written by
`python api/sync/generate.py` from their namesakes in `majula.api.sdk`, docstrings included; a test compares.
"""

from majula.api.sdk.message import Message
from majula.api.sdk.retry import Retry
from majula.api.sdk.states import State
from majula.api.sdk.statistics import Statistics
from majula.api.sdk.trust import Trust
from majula.api.sync.client import Client
from majula.api.sync.entry import connect
from majula.api.sync.subscription import Subscription

__all__ = ["Client", "Message", "Retry", "State", "Statistics", "Subscription", "Trust", "connect"]
