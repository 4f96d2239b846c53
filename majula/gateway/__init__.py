"""The gateway's core: clients on one side, tables and other gateways on the other, and what moves between them.

Read in this order:

- `settings`: what the child spec gives it.
- `outbox`: what waits for one client.
- `session`: one client. `peers`: another gateway of this node.
- `switch`: where a frame goes; the front of the whole room. `outlets`: the way out of it.
- `routes`: from the header of a publication to its subscribers. `publishing`: what they are given.
- `accounts`: who a token or a user of the machine is. `permissions`: what a frame needs. `rates`: how much may be sent. `load`:
  when nobody new is taken.
- `calls`: RPC. `plans`: its short way for headers that are known.
- `requests`: what changes a session, or asks about the node.
- `messages`: private messages on their way. `inboxes`: receiving for clients that do not run flows. `sending`: the same for
  sending, and broadcasts.
- `builtin`: the node's own functions.
- `edge`: what a surface such as HTTP must offer, and what it is lent. `exchange`: request and answer over a session.
"""
