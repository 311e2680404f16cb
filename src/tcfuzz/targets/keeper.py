"""Runs a command for as long as its owner lives: `keeper.py FD FOLDER COMMAND…`.

FD is the reading end of a pipe whose other end the owner alone has: when that is closed, however the owner ended, this
process removes FOLDER and ends its whole process group, which the command is in. When the command ends by itself, its
exit code is this process's, too (128 and more for a signal).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading


def main(arguments: list[str]) -> None:
    """See the module."""
    fd, folder, command = int(arguments[0]), arguments[1], arguments[2:]
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(126)
    threading.Thread(target=_follow, args=(child,), daemon=True).start()
    while os.read(fd, 1):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def _follow(child: subprocess.Popen[bytes]) -> None:
    code = child.wait()
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main(sys.argv[1:])
