"""The HTTP surface of a gateway: REST paths, event streams, and the door through which WebSockets come.

Read in the order of a request: `majula.wire.http_head` (where a request begins and ends), `rules` (who may ask at all),
`connection` (one socket: deadlines, limits, upgrade), `parameters` (body, query and form), `typed` (from these to an operation's
typed request), `routes` (every operation's paths, from its declaration), then what serves them: `topics`, `rpc`, `calls` (whose
answer is fetched later), `messages`, `sessions` (a whole client over HTTP), `planned` (what answers 501 in this version);
`exchange` (a request as a short session of the gateway), `events` (event streams), `wording` (values as JSON), `answers` (errors
as HTTP), and `edge`, which joins it all.

What is told about it: `openapi` (the API document) with `inner` (where the inner circle differs from the operations),
`documentation` (the page that shows it), `paths_reference` and `reference` (the documents of paths and of errors).
"""

from majula.api.http.edge import HttpEdge

__all__ = ["HttpEdge"]
