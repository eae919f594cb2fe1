"""`headcirc serve`: the HTTP service with its page."""

import argparse
import ipaddress
import logging
import signal
import socket
import sys

from headcirc.batch.files import UsageError
from headcirc.cli.command import EXIT_ALL_MEASURED, EXIT_HELP_WITHOUT_IMAGES, Command

MAX_PORT = 65535


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `serve`; all other settings are environment variables."""
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)"
    )
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: 8000)")


def require_free_address(host: str, port: int) -> None:
    """Refuse an address that cannot be listened on, before seconds are spent on loading.

    Raises
    ------
    UsageError
    """
    if not 0 < port <= MAX_PORT:
        raise UsageError(f"{port} is not a port; ports are 1 to {MAX_PORT}.")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as listener:
            # As the server does: an address that an ended connection still holds is free.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        raise UsageError(
            f"Nothing can listen at {host}, port {port} ({error.strerror}); name another --port or "
            "--host."
        ) from error


def run(options: argparse.Namespace) -> int:
    """Serve over HTTP until a signal stops the process."""
    import uvicorn

    require_free_address(options.host, options.port)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    host = f"[{options.host}]" if ":" in options.host else options.host
    print(f"Starting Headcirc at http://{host}:{options.port} (try /docs); Ctrl-C stops it.")
    app = "create_public_app" if _is_public(options.host) else "create_app"
    # The server finishes its requests and then raises the signal again; this is not a failure.
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_ALL_MEASURED))
    uvicorn.run(
        f"headcirc_service.app:{app}",
        factory=True,
        host=options.host,
        port=options.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=20,
        # Not uvloop: while 320 connections kept asking, it let no new one in, so that a probe of
        # /livez waited until they ended; a single request is as fast without it.
        loop="asyncio",
        http="headcirc_service.http.protocol:BoundedProtocol",
        ws="none",
        h11_max_incomplete_event_size=32_768,  # headers; nginx takes as much
        # asyncio accepts as many at a time: after that many it sees which must be cut.
        backlog=64,
        proxy_headers=False,  # the application reads them: HEADCIRC_TRUSTED_GATEWAYS
        # uvicorn would take WEB_CONCURRENCY: processes with separate results and counts.
        workers=1,
    )
    signal.signal(signal.SIGTERM, previous)
    return EXIT_ALL_MEASURED


def _is_public(host: str) -> bool:
    """Return whether other machines may reach the address."""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host != "localhost"


COMMAND = Command(
    "serve",
    "Serve the page and the HTTP interface; settings are HEADCIRC_* variables.",
    add_arguments,
    run,
    exit_help=EXIT_HELP_WITHOUT_IMAGES,
)
