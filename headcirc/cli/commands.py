"""The command line `headcirc`: the list of its commands, and what happens around them.

To add a command, write a module with a `COMMAND` and add it to `COMMANDS`.

Why argparse and not Typer or Cyclopts: they would only replace the `add_argument` calls, a third of
this package, by annotated parameters of about the same length. Checks, messages and exit statuses
would stay, and Typer has no mutually exclusive options (`--pixel-size-mm`, `--pixel-sizes`). Every
install would get 12 more packages for Typer 0.29, 8 for Cyclopts 5.5, and each start 70 and 90 ms
more CPU time (argparse: 3 ms).

Why tqdm and not rich: tqdm draws one progress bar, for `analyze` and `batch`. Rich would bring 4
packages in place of one, its import takes as long (80 ms, tqdm 65), and tables go to files here.
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence

from headcirc import __version__
from headcirc.batch.files import UsageError
from headcirc.cli import (
    analyze,
    batch,
    check,
    cine,
    correct,
    dicom_report,
    evaluate,
    gateway,
    recalibrate,
    serve,
)
from headcirc.cli.command import (
    EXIT_HELP,
    EXIT_SOME_NOT,
    EXIT_STOPPED,
    EXIT_USAGE,
    report,
)
from headcirc.errors import HeadCircumferenceError

COMMANDS = (
    analyze.COMMAND,
    batch.COMMAND,
    cine.COMMAND,
    correct.COMMAND,
    dicom_report.COMMAND,
    evaluate.COMMAND,
    recalibrate.COMMAND,
    gateway.COMMAND,
    serve.COMMAND,
    check.COMMAND,
)
BY_NAME = {command.name: command for command in COMMANDS}
EXAMPLES = """examples:
  headcirc check
  headcirc analyze scan.png --pixel-size-mm 0.12
  headcirc serve

`headcirc COMMAND --help` lists all options of a command.
"""


def to_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; `command` of its result is a name, or None."""
    parser = argparse.ArgumentParser(
        prog="headcirc",
        description="Measure fetal head circumference in ultrasound images. Research use only.",
        epilog=EXAMPLES + EXIT_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"headcirc {__version__}")
    subparsers = parser.add_subparsers(dest="command")
    for command in COMMANDS:
        subparser = subparsers.add_parser(
            command.name,
            help=command.help,
            description=command.help,
            epilog=command.examples + command.exit_help,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(subparser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    parser = to_parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return EXIT_USAGE
    if isinstance(sys.stdout, io.TextIOWrapper):  # its encoding may lack letters of a file name
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return BY_NAME[options.command].run(options)
    except (UsageError, HeadCircumferenceError, ValueError) as error:
        report(f"headcirc: {error}")
        return EXIT_USAGE
    except BrokenPipeError:  # the program that reads the rows has ended, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        report(f"headcirc: stopped: nobody reads the rows. {_describe_rest(options)}")
        return EXIT_SOME_NOT
    except OSError as error:  # such as a full disk; an image that cannot be read gives a row
        report(f"headcirc: {error}. {_describe_rest(options)}")
        return EXIT_USAGE
    except KeyboardInterrupt:
        report(f"headcirc: stopped. {_describe_rest(options)}")
        return EXIT_STOPPED


def _describe_rest(options: argparse.Namespace) -> str:
    """Say what is left of a run that ended early."""
    hint = BY_NAME[options.command].describe_resume(options)
    return f"What was written stays{'; ' * bool(hint)}{hint}."


if __name__ == "__main__":
    sys.exit(main())
