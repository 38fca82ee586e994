"""The command `sofdata`, also as `python -m sofdata`."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Entry point. A Ctrl-C while the command line is imported ends it without a traceback."""
    signal.signal(signal.SIGINT, _too_early)
    try:
        from sofdata.cli import main as run
    except ImportError as error:
        print(
            f"sofdata: this installation is not whole ({error}): pip install --force-reinstall "
            "sofdata, in an environment of its own",
            file=sys.stderr,
        )
        sys.exit(3)
    run()


def _too_early(*_: object) -> None:
    os.write(2, b"sofdata: interrupted; nothing was started\n")
    os._exit(130)


if __name__ == "__main__":
    main()
