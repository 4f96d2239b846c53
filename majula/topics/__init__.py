"""Topics: who wants what, who gets it, and what a topic's last value is. Pure cores, used by the gateways and the topic manager.

Read in this order:

- `subjects`: what a topic and a pattern may look like, and when they match; the keys of the tables.
- `matcher`: from a topic to everybody whose subscription matches it; the one lookup of the hot path.
- `interest`: the tables `subscriptions` (one slice a gateway) and `interest` (all slices merged), and the routes made of them.
- `queue_groups`: which gateway, and there which member, gets a message of a queue group.
- `retained`: the last values: ordered by the topic manager, copied to every gateway, given back after its restart.
- `listing`: the list of topics for people.
"""
