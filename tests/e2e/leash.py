"""Become another program that dies with its parent, even when the parent is killed with SIGKILL.

Usage: leash.py PARENT PROGRAM ARGUMENTS…

The parent-death signal (prctl(2), PR_SET_PDEATHSIG) survives execve. It is set here, in a program of one thread, and
not between fork and exec of a parent that may have several.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
    sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
if os.getppid() != int(sys.argv[1]):  # it died before the signal was asked for
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
