"""The HTTP surface of a gateway: REST paths, event streams, and the door through which WebSockets come.

Read in the order of a request: `majula.wire.http_head` (where a request begins and ends), `rules` (who may ask at all),
`connection` (one socket: deadlines, limits, upgrade), `parameters` (body, query and form become one dict), `routes` (every
operation's paths, from its declaration), then what serves them: `topics`, `rpc`, `planned` (what answers 501 in this version);
`exchange` (a request as a short session of the gateway), `events` (event streams), `wording` (values as JSON), `answers` (errors
as HTTP), and `edge`, which joins it all.
"""

from majula.api.http.edge import HttpEdge

__all__ = ["HttpEdge"]
