"""`python -m deploy.ray.serve`: run Ray and the service on this machine until a signal stops it.

On a cluster, use `serve deploy deploy/ray/serve.yaml`.
"""

import argparse
import ipaddress
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from headcirc_service.settings import load_settings
from pydantic import ValidationError

from deploy.ray.proxy import CALLBACK
from headcirc.batch.files import UsageError
from headcirc.batch.ray_cluster import count_capacity, open_ray
from headcirc.cli.serve import require_free_address
from headcirc.cpus import count_available_cpus

if TYPE_CHECKING:
    from ray.serve import Application

    from deploy.ray.application import Sizes

CALLBACK_NAME = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
EXIT_STOPPED, EXIT_USAGE = 0, 2
LOOK_EVERY_S = 0.2
OPEN_TO_ALL = (
    "THIS SERVICE IS OPEN TO EVERYBODY who can reach it: it listens beyond this machine and "
    "HEADCIRC_API_KEY_HASHES is not set. Set it, or put a reverse proxy in front."
)


def run(chosen: argparse.Namespace) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish the requests in flight.

    Raises
    ------
    UsageError, ValueError
        Ray, the settings or the sizes are invalid, or Ray has too few CPUs or GPUs.
    """
    # Check address and settings before Ray starts.
    require_free_address(chosen.host, chosen.port)
    settings = load_settings()
    if not is_loopback(chosen.host) and not settings.api_key_hashes:
        print(OPEN_TO_ALL, file=sys.stderr)
    os.environ.setdefault(CALLBACK_NAME, CALLBACK)  # noqa: TID251 - Ray's, not ours
    with open_ray(None):
        from ray import serve
        from ray.exceptions import RayError

        from deploy.ray.application import build

        sizes = to_sizes(chosen)
        require_capacity(sizes)
        application = build(sizes)
        stop = watch_signals()
        try:
            start(application, chosen, stop)
            while not stop.wait(1.0):
                pass
        except (RayError, RuntimeError, TimeoutError) as error:
            raise UsageError(f"Ray Serve did not start the service: {error}") from error
        finally:
            serve.shutdown()


def to_sizes(chosen: argparse.Namespace) -> "Sizes":
    """Return the sizes in the arguments.

    Raises
    ------
    UsageError
        One is invalid, or the minimum is larger than the maximum; the message names it.
    """
    from deploy.ray.application import Sizes

    try:
        sizes = Sizes(**{name: getattr(chosen, name) for name in Sizes.model_fields})
    except ValidationError as error:
        fault = error.errors()[0]
        option = "--" + str(fault["loc"][0]).replace("_", "-")
        raise UsageError(f"{option} {fault['input']}: {fault['msg']}.") from error
    if sizes.min_replicas > sizes.max_replicas:
        raise UsageError(
            f"--min-replicas {sizes.min_replicas} is larger than --max-replicas "
            f"{sizes.max_replicas}; raise --max-replicas."
        )
    return sizes


def require_capacity(sizes: "Sizes") -> None:
    """Refuse replicas for which Ray has too few CPUs or GPUs; it would wait for ever.

    Raises
    ------
    UsageError
    """
    capacity = count_capacity(sizes.cpus, sizes.gpus)
    if capacity < sizes.min_replicas:
        raise UsageError(
            f"At least {sizes.min_replicas} replicas with {sizes.cpus:g} CPUs and {sizes.gpus:g} "
            f"GPUs each are needed, but Ray has room for {capacity}."
        )


def start(application: "Application", chosen: argparse.Namespace, stop: threading.Event) -> None:
    """Start the service and return when it answers, or when a signal has come.

    `serve.run` could wait for ever, and would ignore the signal.

    Raises
    ------
    RuntimeError, TimeoutError
        The service did not start.
    """
    from ray import serve

    from deploy.ray.application import NAME

    serve.start(
        proxy_location="HeadOnly",
        http_options={"host": chosen.host, "port": chosen.port},
        logging_config={"enable_access_log": False},
    )
    target = serve.RunTarget(application, name=NAME, route_prefix="/")
    serve.run_many([target], wait_for_applications_running=False)
    while not stop.wait(LOOK_EVERY_S):
        found = serve.status().applications.get(NAME)
        if found is not None and found.status == "DEPLOY_FAILED":
            raise RuntimeError(found.message)
        if found is not None and found.status == "RUNNING":
            print(
                f"Headcirc on Ray answers at http://{chosen.host}:{chosen.port}; Ctrl-C stops it."
            )
            return


def watch_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set; Ray's own handlers would abort."""
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    return stop


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"


def to_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog="python -m deploy.ray.serve", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (8000)")
    parser.add_argument("--min-replicas", type=int, default=1, help="(1)")
    parser.add_argument("--max-replicas", type=int, default=1, help="(1); more need a Redis")
    parser.add_argument("--target-requests", type=float, default=2.0, help="per replica (2)")
    cpus = count_available_cpus()
    parser.add_argument("--cpus", type=float, default=cpus, help=f"of one replica ({cpus})")
    parser.add_argument("--gpus", type=float, default=0.0, help="of one replica (0)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve; return the exit status."""
    chosen = to_parser().parse_args(arguments)
    try:
        run(chosen)
    except (UsageError, ValueError) as error:
        print(f"deploy.ray.serve: {error}", file=sys.stderr)
        return EXIT_USAGE
    return EXIT_STOPPED


if __name__ == "__main__":
    sys.exit(main())
