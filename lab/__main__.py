"""`python -m lab`: the lab's command line."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from lab.lab import DEFAULT_FOLDER, Lab
from lab.site import LabError


def main(arguments: list[str] | None = None) -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(
        prog="python -m lab", description="The embedded system: real servers, faults to inject."
    )
    parser.add_argument("--dir", type=Path, default=DEFAULT_FOLDER, help="the lab's folder (default: %(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start what is missing")
    down = commands.add_parser("down", help="stop everything")
    down.add_argument("--purge", action="store_true", help="remove the lab's folder too")
    commands.add_parser("status", help="how each process is")
    options = parser.parse_args(arguments)
    lab = Lab(options.dir)
    try:
        if options.command == "up":
            begun = time.monotonic()
            lab.up(lambda line: print(line, flush=True))
            print(f"the lab is up ({time.monotonic() - begun:.1f} s)")
        elif options.command == "down":
            lab.down(purge=options.purge)
        else:
            for status in lab.status():
                print(status)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
