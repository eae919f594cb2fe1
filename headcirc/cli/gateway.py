"""`headcirc gateway`: receive DICOM images, deliver reports, and say what is in the queue."""

import argparse
import logging
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from headcirc.batch.files import UsageError
from headcirc.cli.command import EXIT_ALL_MEASURED, EXIT_HELP_WITHOUT_IMAGES, Command

if TYPE_CHECKING:
    from headcirc.gateway.queue import Queue

EXAMPLES = """examples:
  headcirc gateway --settings gateway.toml
  headcirc gateway status --settings gateway.toml --list

"""
RUN, STATUS, RETRY = "run", "status", "retry"
NEEDED = ("pynetdicom", "highdicom", "prometheus_client", "httpx")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `gateway`."""
    parser.add_argument(
        "action",
        nargs="?",
        choices=(RUN, STATUS, RETRY),
        default=RUN,
        help="run (default); status: print what is in the queue; retry: try what is dead again",
    )
    parser.add_argument(
        "--settings", type=Path, required=True, metavar="FILE.toml", help="see docs/gateway.md"
    )
    parser.add_argument("--json", action="store_true", help="print the status as a JSON object")
    parser.add_argument("--list", action="store_true", help="print the latest images, too")


def run(options: argparse.Namespace) -> int:
    """Run the gateway until a signal, or look into its queue."""
    for package in NEEDED:
        if find_spec(package) is None:
            raise UsageError(
                f"gateway needs {package}; install it with: pip install 'headcirc[dicom]'"
            )
    from headcirc.gateway.queue import Queue
    from headcirc.gateway.settings import load_settings

    settings = load_settings(options.settings)
    if options.action == RUN:
        from headcirc.gateway.run import run_gateway

        logging.basicConfig(
            level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
        )
        run_gateway(settings, options.settings)
        return EXIT_ALL_MEASURED
    if not settings.queue.folder.is_dir():
        raise UsageError("The queue's folder does not exist; no gateway has run with it yet.")
    queue = Queue(settings.queue, settings.retries)
    if options.action == RETRY:
        print(f"{queue.revive()} are tried again; a running gateway sees them within 30 s.")
        return EXIT_ALL_MEASURED
    _print_status(queue, options)
    return EXIT_ALL_MEASURED


def _print_status(queue: "Queue", options: argparse.Namespace) -> None:
    from headcirc.gateway.status import list_images, to_facts, to_json, to_text

    facts = to_facts(queue)
    print(to_json(facts) if options.json else to_text(facts))
    if options.list:
        print("\n".join(["", *list_images(queue)]))


COMMAND = Command(
    "gateway",
    "Receive DICOM images from scanners, measure them, and deliver DICOM reports.",
    add_arguments,
    run,
    examples=EXAMPLES,
    exit_help=EXIT_HELP_WITHOUT_IMAGES,
)
