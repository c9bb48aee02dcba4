"""Runs command lines in a process without what only POSIX systems have: ``no_posix.py train ... -- deblur ...``.

Other packages are imported first, as they are: on Windows each has ways of its own.
"""

from __future__ import annotations

import importlib
import os
import platform
import signal
import sys
import time

from deblurkit import compat

OTHERS = ("torch", "cv2", "PIL.Image", "mmengine.runner", "rich.progress", "scipy.signal", "lmdb")
MODULES = ("fcntl", "grp", "pwd", "pty", "readline", "resource", "spwd", "syslog", "termios", "tty")
OF_OS = (
    "chown chroot fchown fork forkpty getegid geteuid getgid getgroups getloadavg getpgid getpgrp getuid initgroups "
    "killpg lchown mkfifo mknod nice openpty posix_fadvise pread pwrite register_at_fork sched_getaffinity "
    "sched_setaffinity setegid seteuid setgid setpgid setsid setuid statvfs sysconf uname wait wait3 wait4"
)
OF_SIGNAL = (
    "SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGUSR1 SIGUSR2 alarm getitimer pthread_kill "
    "pthread_sigmask setitimer sigpending sigtimedwait sigwait sigwaitinfo"
)


def hide() -> None:
    """Take it all away, as far as Linux lets us."""
    compat.ensure_torchvision()
    for name in OTHERS:
        importlib.import_module(name)
    for name in MODULES:
        sys.modules[name] = None  # which an import refuses
    for module, names in ((os, OF_OS), (signal, OF_SIGNAL), (time, "tzset")):
        for name in names.split():
            if hasattr(module, name):
                delattr(module, name)
    platform.system = lambda: "Windows"  # by which MMEngine tells


if __name__ == "__main__":
    hide()
    from deblurkit import cli

    lines: list[list[str]] = [[]]
    for word in sys.argv[1:]:
        if word == "--":
            lines.append([])
        else:
            lines[-1].append(word)
    for line in lines:
        sys.argv = ["deblurkit", *line]
        try:
            cli.main()
        except SystemExit as end:
            if end.code:
                raise
