"""What holds for every test of this run."""

from __future__ import annotations

import signal

# A shell starts a job in the background with Ctrl-C ignored, and a node respects what it inherits: the tests that stop one by
# Ctrl-C would wait for ever. Handlers are not inherited by other programs, so theirs is the default again.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
