"""`Administration` of the synchronous client."""

# Written by `python api/sync/generate.py` from majula/api/sdk/administration.py: change that one.

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from majula.api.sdk.asking import ASK_S
from majula.api.sync.asking import Asking
from majula.auth.operations import AuditEntry, TokenCreateAnswer, TokenLine, TokensAnswer
from majula.config.operations import ConfigChangeAnswer, ConfigDocument, Revision


class Administration(Asking):
    """Tokens, the audit, the configuration. Each method raises what `ask` raises."""

    def tokens(self, *, offset: int = 0, limit: int = 1024, timeout_s: float = ASK_S) -> TokensAnswer:
        """The tokens, without their secrets, ordered by time of creation.

        Args:
            offset, limit: a part of the list, at most 1,024 lines; `of` in the answer is how many there are.
            timeout_s: seconds until it is given up.
        """
        return self._thread.wait(self._async.tokens(offset=offset, limit=limit, timeout_s=timeout_s))

    def token(self, token: str, *, timeout_s: float = ASK_S) -> TokenLine:
        """One token by its id, without its secret."""
        return self._thread.wait(self._async.token(token, timeout_s=timeout_s))

    def create_token(
        self,
        scopes: Sequence[str],
        *,
        note: str = "",
        clients: Sequence[str] = ("*",),
        expires_in_s: float = 0.0,
        single_use: bool = False,
        messages_per_s: float = 0.0,
        bytes_per_s: float = 0.0,
        timeout_s: float = ASK_S,
    ) -> TokenCreateAnswer:
        """Make a token. Its secret is in the answer, this once: nobody can show it again.

        Args:
            scopes: `verb:pattern`, with a leading `-` it denies; deny wins. `*` is everything.
            note: what it is for.
            clients: patterns of the client ids that its sessions may take.
            expires_in_s: seconds from now; 0: never.
            single_use: the first session that it opens is its only one.
            messages_per_s, bytes_per_s: what all its sessions together may send; 0: no limit of its own.
            timeout_s: seconds until it is given up.
        """
        return self._thread.wait(
            self._async.create_token(
                scopes,
                note=note,
                clients=clients,
                expires_in_s=expires_in_s,
                single_use=single_use,
                messages_per_s=messages_per_s,
                bytes_per_s=bytes_per_s,
                timeout_s=timeout_s,
            )
        )

    def revoke_token(self, token: str, *, timeout_s: float = ASK_S) -> TokenLine:
        """Revoke a token by its id, for good. Its sessions are closed within two seconds."""
        return self._thread.wait(self._async.revoke_token(token, timeout_s=timeout_s))

    def audit(self, *, before: int = 0, limit: int = 100, timeout_s: float = ASK_S) -> tuple[AuditEntry, ...]:
        """Who changed what, the newest first.

        Args:
            before: the number of an entry that was seen; only older ones. 0: from the newest.
            limit: at most so many, at most 1,024.
            timeout_s: seconds until it is given up.
        """
        return self._thread.wait(self._async.audit(before=before, limit=limit, timeout_s=timeout_s))

    def config(self, *, defaults: bool = True, revision: int = 0, timeout_s: float = ASK_S) -> ConfigDocument:
        """The configuration, secrets shown as `***`.

        Args:
            defaults: with every default filled in.
            revision: one of the past; 0: what is in force.
            timeout_s: seconds until it is given up.
        """
        return self._thread.wait(self._async.config(defaults=defaults, revision=revision, timeout_s=timeout_s))

    def change_config(
        self,
        change: dict[str, Any] | None = None,
        *,
        text: str = "",
        revision: int = 0,
        dry_run: bool = False,
        timeout_s: float = ASK_S,
    ) -> ConfigChangeAnswer:
        """Change the configuration: all of it or nothing.

        Args:
            change: the keys to set, nested; None takes a key out.
            text: a whole file instead.
            revision: the one that the change was made for; another in force is a conflict. 0: whatever is in force.
            dry_run: say what would happen and change nothing.
            timeout_s: seconds until it is given up.
        Raises:
            ConfigError: it cannot be used.
            Conflict: another revision is in force.
        """
        return self._thread.wait(
            self._async.change_config(change, text=text, revision=revision, dry_run=dry_run, timeout_s=timeout_s)
        )

    def reload_config(self, *, dry_run: bool = False, timeout_s: float = ASK_S) -> ConfigChangeAnswer:
        """Read the node's file again and apply what has changed; with `dry_run`, say what would."""
        return self._thread.wait(self._async.reload_config(dry_run=dry_run, timeout_s=timeout_s))

    def rollback_config(self, revision: int = 0, *, dry_run: bool = False, timeout_s: float = ASK_S) -> ConfigChangeAnswer:
        """Go back to an earlier revision; 0: the one before."""
        return self._thread.wait(self._async.rollback_config(revision, dry_run=dry_run, timeout_s=timeout_s))

    def config_revisions(self, *, timeout_s: float = ASK_S) -> tuple[Revision, ...]:
        """The revisions that are kept, the newest first."""
        return self._thread.wait(self._async.config_revisions(timeout_s=timeout_s))
