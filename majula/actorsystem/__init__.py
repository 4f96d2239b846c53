"""The actor system: a Thespian system base of our own, and `MajulaActor`, the class that every actor of a node derives from.

An actor's run loop is an asyncio loop (uvloop where it is installed). Actors talk over AF_UNIX streams in a private directory.
Typed messages and batches of frames go from `send` to the peer's `on_message` with one queue in between, the outbox; Thespian's
own messages take the same sockets, through Thespian's managers.

Read in this order:

    actor          what an actor can do; all that most readers need
    mailbox        the life of one actor: start, messages, tasks, stop, crash
    frames, outbox pure: the bytes on a socket; what waits for a peer, and what happens at the mark
    connection     one socket
    local          between actors of one process
    endpoint       all sockets of a process; the hot path
    process        fork, what a child drops, why it ended
    children, host child processes, and actors that live in a host process
    actorprocess   the main function of an actor's process
    looking, taps  what an actor shows of itself when it is asked
    outside        talking to actors from elsewhere
    sockets        listening sockets that the runner hands to an actor
    base           `System`, and the base that Thespian loads
    transport, managers, pickling, address   Thespian's side: its transport, its managers on it, what may be pickled, names
    rundir         the private directory
    memory         how the C library keeps freed memory, for processes that move many large messages
"""
