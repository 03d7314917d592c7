"""A child of this process, which has all that this one has loaded, and may die in any way."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable


def in_a_child(act: Callable[[], object]) -> int:
    """Do this in a forked process; says what it ended with: 0, what os._exit was given, or minus a signal."""
    with warnings.catch_warnings():
        # Newer Pythons warn of a fork beside threads; this child only computes, and dies.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            act()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
