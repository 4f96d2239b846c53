"""What `majula status` shows: one answer over all supervisors, made by the runner, whatever state the tree is in."""

from __future__ import annotations

import os
import time
from collections import deque
from typing import Literal

import msgspec

import majula
from majula.config import NodeConfig
from majula.messages.base import Role
from majula.messages.supervision import ChildStatus, Death, Status
from majula.runner.insight import insecure_listeners
from majula.runner.listeners import Listener
from majula.runner.plan import ROOT
from majula.runner.summary import address_of
from majula.runner.tree import Tree
from majula.telemetry.board import role_line

State = Literal["starting", "serving", "degraded", "recovering", "draining", "stopping"]
"""`degraded`: a role is in quarantine, the rest serves. `recovering`: a role is away and is being started again."""


class StatusBoard:
    """Asks the supervisors and keeps what each said last, for while it does not answer.

    Args:
        config, listeners: of the node.
        began_at: `time.monotonic()` of the process's start.
    """

    def __init__(self, config: NodeConfig, listeners: tuple[Listener, ...], *, began_at: float) -> None:
        self._config, self._listeners, self._began_at = config, listeners, began_at
        self._known: dict[Role, Status] = {}
        self._tree_ends: deque[Death] = deque(maxlen=8)

    def tree_ended(self, reason: str, number: int) -> None:
        """The tree of this number is gone, and what its supervisors said with it."""
        self._known.clear()
        # `ago_s` holds the moment until somebody asks.
        self._tree_ends.appendleft(Death(ago_s=time.monotonic(), reason=reason, incarnation=number))

    async def read(self, *, state: State, tree: Tree | None, trees: int) -> dict[str, object]:
        """The whole answer, JSON values only.

        Args:
            state: of the node.
            tree: the one that runs, None between two.
            trees: how many there were, this one included.
        """
        return {
            "node_id": self._config.node_id,
            "version": majula.__version__,
            "pid": os.getpid(),
            "state": state,
            "up_s": round(time.monotonic() - self._began_at, 3),
            "data_dir": self._config.data_dir,
            "run_dir": self._config.run_dir,
            "addresses": [
                {"name": listener.name, "role": listener.role, "address": address_of(listener)} for listener in self._listeners
            ],
            "insecure": list(insecure_listeners(self._config)),
            "admin_pid": 0 if tree is None else tree.admin_pid,
            "roles": [] if tree is None else await self._roles(tree, trees),
        }

    async def _roles(self, tree: Tree, trees: int) -> list[dict[str, object]]:
        """Every role, below its supervisor. What a supervisor that does not answer said last is marked as not fresh."""
        names = {entry.address: role for role, entry in tree.roles.items()}
        answers = await tree.statuses()
        found = [role_line(self._root(tree, trees), supervisor="runner", names=names, is_fresh=True)]
        for supervisor, answer in answers.items():
            if answer is not None:
                self._known[supervisor] = answer
            known = self._known.get(supervisor)
            children = known.children if known is not None else ()
            found += [role_line(child, supervisor=supervisor, names=names, is_fresh=answer is not None) for child in children]
        plain: list[dict[str, object]] = msgspec.to_builtins(found)
        return plain

    def _root(self, tree: Tree, trees: int) -> ChildStatus:
        entry = tree.roles.get(ROOT)
        now = time.monotonic()
        return ChildStatus(
            role=ROOT,
            state="starting" if entry is None else "running",
            pid=0 if entry is None else entry.pid,
            address="" if entry is None else entry.address,
            incarnation=trees,
            restarts=trees - 1,
            deaths=tuple(msgspec.structs.replace(end, ago_s=now - end.ago_s) for end in self._tree_ends),
            retry_in_s=-1.0,
            up_s=now - tree.began_at,
            silent_s=0.0,
        )
