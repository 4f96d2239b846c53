"""Versioned tables: how what one actor knows gets to all who act by it, and stays right when any of them dies.

One actor publishes a table (keys to opaque values), others hold a copy and act by it without asking. Control actors and
gateways use it in both directions: a gateway publishes *slices* (its own subscriptions, registrations, sessions), a control
actor holds the slices of all gateways, merges them, and publishes the merged table back to all gateways.

Read in this order:

- `log`: the entries of a table in the order of their last change, so that "all that changed since version n" is a slice of it.
- `publisher`: one table to many holders: coalescing, deltas, snapshots in parts, a window for each holder, confirmation.
- `holder`: one copy: gap found, snapshot asked for, confirmation given.
- `gathering`: many slices into one merged table; opening only when all owners were heard; confirmation passed on.
- `exchange`: all tables of one actor together, by the roles at their other ends. This is what actors use.

All of it is `event, now -> effects`. `tests/simulation/tables.py` runs it with loss, delay, restarts and reconnect storms.
"""

from majula.tables.effects import Changed, Effect, InForce, News, Send, Unconfirmed
from majula.tables.exchange import TableExchange
from majula.tables.gathering import Changes, Merge

__all__ = ["Changed", "Changes", "Effect", "InForce", "Merge", "News", "Send", "TableExchange", "Unconfirmed"]
