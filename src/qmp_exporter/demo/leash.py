"""Run a program that dies with the process that started it.

    python -I -S leash.py PARENT PROGRAM [ARGUMENT]...

QEMU must not outlive the demo, not even where the demo is killed with SIGKILL and can clean up
nothing. Linux offers the signal for that (PR_SET_PDEATHSIG in prctl(2)); it has to be asked for
in the child, after the fork. A process of its own does it more safely than a hook between fork
and exec, which may not be used beside threads, and costs some 12 ms.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys


PR_SET_PDEATHSIG = 1
"""From linux/prctl.h. The setting survives exec."""


def main(arguments: list[str]) -> None:
    """Become the program named in `arguments`, after the pid of the parent.

    Raises:
        OSError: the signal cannot be asked for.
        SystemExit: the program cannot be run, or the parent is gone already.
    """
    parent, *command = arguments
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    # Whoever died before the call above sends no signal any more.
    if os.getppid() != int(parent):
        raise SystemExit(f"{command[0]}: not started, the parent process {parent} is gone")
    try:
        os.execvp(command[0], command)  # noqa: S606 - becoming that program is the purpose
    except OSError as error:
        raise SystemExit(f"{command[0]}: {error.strerror}") from None


if __name__ == "__main__":
    main(sys.argv[1:])
