"""`python -m lab`: the lab's command line.

Exit status: 0 done (for `status`: everything is healthy and nothing broken on purpose), 1 it could not be done
(`status`: something is not healthy), 2 the command line is wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import cast

from lab import faults
from lab.lab import DEFAULT_FOLDER, Lab
from lab.servers.smtp import Mail
from lab.site import LabError


def up(lab: Lab, _options: argparse.Namespace) -> int:
    """Start what is missing."""
    begun = time.monotonic()
    lab.up(lambda line: print(f"  {line}", flush=True))
    print(f"the lab is up ({time.monotonic() - begun:.1f} s): . {lab.folder / 'environment.sh'}")
    return _tell_broken(lab)


def down(lab: Lab, options: argparse.Namespace) -> int:
    """Stop everything, whatever state it is in."""
    lab.down(purge=options.purge)
    print("the lab is down")
    return 0


def status(lab: Lab, options: argparse.Namespace) -> int:
    """Show each process, its ports, its health, and what is broken on purpose."""
    seen = lab.status()
    if options.json:
        print(json.dumps({"processes": [asdict(one) for one in seen], "broken": lab.broken}, indent=2))
    else:
        print(f"{'process':<12} {'state':<9} {'pid':>7} {'port':>6} {'front':>6}  health")
        for one in seen:
            health = "healthy" if one.healthy else one.detail.partition("\n")[0]
            print(
                f"{one.name:<12} {one.state:<9} {one.pid or '-':>7} {one.port or '-':>6} {one.front or '-':>6}  {health}"
            )
        _tell_broken(lab)
    return 0 if all(one.healthy for one in seen) and not lab.broken else 1


def _tell_broken(lab: Lab) -> int:
    for name, since in lab.broken.items():
        known = faults.load().get(name)
        print(f"broken on purpose since {since}: {name} ({known.title if known else 'not known to this version'})")
    return 0


def break_(lab: Lab, options: argparse.Namespace) -> int:
    """Inject faults."""
    for fault in [faults.find(name) for name in options.fault]:
        lab.break_fault(fault.id)
        print(f"broken: {fault.id} ({fault.title})")
    return 0


def heal(lab: Lab, options: argparse.Namespace) -> int:
    """Undo faults; all of them when none is named."""
    for name in options.fault:
        lab.heal_fault(name)
    if not options.fault:
        lab.heal_all()
    print("healed")
    return _tell_broken(lab)


def list_faults(_lab: Lab, options: argparse.Namespace) -> int:
    """List the faults that can be injected."""
    for fault in faults.load().values():
        print(f"{fault.id:<28} {fault.service:<9} {fault.title}")
        if options.verbose:
            for word, checks in (("fails", fault.fails), ("blocks", fault.blocks)):
                print("".join(f"    {word} {check}\n" for check in checks), end="")
    return 0


def inbox(lab: Lab, options: argparse.Namespace) -> int:
    """List the mails that arrived, or print one of them."""
    lab.site.refresh()
    messages = cast("Mail", lab.servers["mail"]).messages()
    if options.number is None:
        for number, message in enumerate(messages, 1):
            print(f"{number:>3}  {message['Date'] or '-':<32} {message['To'] or '-':<30} {message['Subject'] or '-'}")
        return 0
    if not 1 <= options.number <= len(messages):
        raise LabError(f'no message "{options.number}": the inbox has {len(messages)}')
    print(messages[options.number - 1].as_string())
    return 0


def show_environment(lab: Lab, _options: argparse.Namespace) -> int:
    """Print the variables that a run of checks needs, for a shell to evaluate."""
    lab.site.refresh()
    print(lab.site.path("environment.sh").read_text(), end="")
    return 0


COMMANDS: dict[str, Callable[[Lab, argparse.Namespace], int]] = {
    "up": up,
    "down": down,
    "status": status,
    "break": break_,
    "heal": heal,
    "faults": list_faults,
    "inbox": inbox,
    "environment": show_environment,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab", description="The embedded system: real servers, faults to inject."
    )
    parser.add_argument("--dir", type=Path, default=DEFAULT_FOLDER, help="the lab's folder (default: %(default)s)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    each = {
        name: commands.add_parser(name, help=run.__doc__, description=run.__doc__) for name, run in COMMANDS.items()
    }
    for command in each.values():
        # After the command as well; without a default here, so that it does not hide one that stood before.
        command.add_argument("--dir", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    each["down"].add_argument("--purge", action="store_true", help="remove the lab's folder too")
    each["status"].add_argument("--json", action="store_true", help="as JSON")
    each["break"].add_argument("fault", nargs="+", metavar="FAULT", help="see: python -m lab faults")
    each["heal"].add_argument("fault", nargs="*", metavar="FAULT", help="all that are in place when none is named")
    each["faults"].add_argument("--verbose", action="store_true", help="with the checks that must see each")
    each["inbox"].add_argument("number", nargs="?", type=int, metavar="N", help="print the message of that number")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command."""
    options = _parser().parse_args(arguments)
    try:
        return COMMANDS[options.command](Lab(options.dir), options)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
