"""Who may do what: tokens, scopes, grants, the audit.

Read in this order:

- `scopes`: what a scope may look like (`verb:pattern`, `-` denies), and when one covers or overlaps a name or a pattern.
- `grants`: what the scopes of a token permit, compiled once; the one thing that is asked on the path of a message.
- `secret`, `tokens`: a text that nothing prints; what a token looks like, its digest, the lookup in constant time.
- `book`: the table `tokens` and a gateway's copy of it.
- `ledger`: every token that was made; who decides which of N claims of a single-use token wins.
- `audit`: who changed what, as numbered lines.
- `store`: both on disk, the only module that touches files.
- `desk`: from messages to changes and back to answers.
- `operations`: what clients can ask.
"""

from majula.auth.book import TOKENS, TokenBook, TokenEntry, Turned
from majula.auth.grants import ALL, Grants, denied, grants_of
from majula.auth.secret import Secret
from majula.auth.tokens import TokenIndex, digest_of, has_token, is_token, make_token, without_tokens

__all__ = [
    "ALL",
    "TOKENS",
    "Grants",
    "Secret",
    "TokenBook",
    "TokenEntry",
    "TokenIndex",
    "Turned",
    "denied",
    "digest_of",
    "grants_of",
    "has_token",
    "is_token",
    "make_token",
    "without_tokens",
]
