"""The command line: `headcirc analyze`, `batch`, `serve`, `check`.

Exit status 0: all measured; 1: some image was not (the others are still written); 2: bad usage;
130: stopped by Ctrl-C.
"""

import argparse
import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tqdm import tqdm

from headcirc.answers import Row
from headcirc.batch.csv_table import (
    Table,
    is_standard_output,
    open_table,
    read_kept,
    to_origin,
    to_row,
)
from headcirc.batch.files import (
    Measure,
    UsageError,
    find_images,
    load_local_measure,
    measure_files,
    require_own_places,
    to_name,
    to_overlay_paths,
)
from headcirc.batch.measuring_process import MeasuringProcess
from headcirc.batch.pixel_size_table import load_pixel_sizes, to_spacings_of
from headcirc.batch.safe_text import escape_controls
from headcirc.batch.summary import Tally, to_failed_lines
from headcirc.cli.arguments import require_folder, require_free_address, to_parser
from headcirc.cli.check import check_measures_truly
from headcirc.errors import HeadCircumferenceError
from headcirc.geometry import PixelSpacing
from headcirc.pipeline import SHIPPED_MODEL_DIR, load_pipeline
from headcirc.readers.pixel_size import to_stated_spacing

EXIT_ALL_MEASURED, EXIT_SOME_NOT, EXIT_USAGE, EXIT_STOPPED = 0, 1, 2, 130


def run_analyze(chosen: argparse.Namespace) -> int:
    """Measure files and folders; print a table or JSON, write CSV and overlays."""
    images = find_images(chosen.images, recursive=chosen.recursive)
    spacings = _read_spacings(chosen, images)
    overlays = None
    _require_own_table(chosen, images)
    if chosen.overlay_dir is not None:
        require_folder(chosen.overlay_dir)
        overlays = to_overlay_paths(chosen.images, images, chosen.overlay_dir)
        require_own_places(overlays, chosen.overlay_dir)
    tally = Tally()
    with ExitStack() as stack:
        measure, model = _open_measure(chosen, stack)
        origins = {to_name(path): to_origin(path, spacings[path], model) for path in images}
        kept = _read_kept(chosen, origins, overlays or {})
        for cells in kept.values():
            tally.add(asdict(to_row(cells)))
        table: Table | None = None
        if chosen.csv is not None:
            table = stack.enter_context(open_table(chosen.csv, origins, kept))
        left = [path for path in images if to_name(path) not in kept]
        for row in measure_files(measure, left, spacings, overlays):
            tally.add(asdict(row))
            if table is not None:
                table.write(row)
            if not is_standard_output(chosen.csv):  # which is the table's alone
                tqdm.write(json.dumps(asdict(row)) if chosen.json else _to_line(row))
            sys.stdout.flush()  # who reads a pipe sees each row when it is there
    for line in tally.to_lines():
        _tell(line)
    return EXIT_SOME_NOT if tally.counts["error"] else EXIT_ALL_MEASURED


def _read_kept(
    chosen: argparse.Namespace, origins: Mapping[str, str], overlays: Mapping[Path, Path]
) -> dict[str, list[str]]:
    """Return the lines of an earlier run that stay in the table: all of them have their overlay."""
    if not chosen.resume:
        return {}
    kept = read_kept(chosen.csv, origins, retry_crashed=chosen.retry_crashed)
    for path, overlay in overlays.items():
        if not overlay.exists():
            kept.pop(to_name(path), None)
    _tell(f"{len(kept)} of {len(origins)} images are in the table already.")
    return kept


def _require_own_table(chosen: argparse.Namespace, images: Sequence[Path]) -> None:
    """Refuse a table that cannot be gone on with, or that would replace what is read.

    Raises
    ------
    UsageError
    """
    table: Path | None = chosen.csv
    if chosen.retry_crashed and not chosen.resume:
        raise UsageError("--retry-crashed is for a run that goes on; add --resume.")
    if chosen.resume and (table is None or is_standard_output(table)):
        raise UsageError("--resume goes on with a table; name it by --csv, a file.")
    if is_standard_output(table) and chosen.json:
        raise UsageError("--csv - and --json both write to standard output; leave out one.")
    if table is None or is_standard_output(table):
        return
    if chosen.pixel_sizes is not None and table.resolve() == chosen.pixel_sizes.resolve():
        raise UsageError("The pixel sizes' table would be replaced; name another file by --csv.")
    if table.is_file() and any(table.samefile(each) for each in images if each.exists()):
        raise UsageError("An image would be replaced by the table; name another file by --csv.")


def _read_spacings(
    chosen: argparse.Namespace, images: Sequence[Path]
) -> dict[Path, PixelSpacing | None]:
    if chosen.pixel_sizes is not None:
        return to_spacings_of(images, load_pixel_sizes(chosen.pixel_sizes))
    return dict.fromkeys(images, to_stated_spacing(chosen.pixel_size_mm))


def run_batch(chosen: argparse.Namespace) -> int:
    """Measure a folder by workers on Ray, into Parquet; go on where an earlier run stopped."""
    for package in ("ray", "pyarrow"):
        if find_spec(package) is None:
            raise UsageError(f"batch needs {package}; install it with: pip install 'headcirc[ray]'")
    from headcirc.batch import ray_cluster as ray_start
    from headcirc.batch import ray_job as ray_batch

    plan = ray_start.Plan(
        chosen.model.absolute(),
        backend=chosen.backend,
        precision=chosen.precision,
        workers=chosen.workers,
        cpus=chosen.cpus_per_worker,
        gpus=chosen.gpus_per_worker,
        address=chosen.ray_address,
    )
    if chosen.source.is_file():
        raise UsageError(
            f"{str(chosen.source)!r} is a file; batch needs a folder (analyze takes files)."
        )
    images = find_images([chosen.source], recursive=chosen.recursive)
    spacings = _read_spacings(chosen, images)
    summary = ray_batch.run_batch(
        chosen.source, chosen.results, spacings, plan, retry_crashed=chosen.retry_crashed
    )
    print(f"{summary['measured']} of {summary['images']} images are measured.")
    for line in to_failed_lines(summary["failed"], summary["first_failed"]):
        _tell(line)
    return EXIT_SOME_NOT if summary["not_measured"] else EXIT_ALL_MEASURED


def _open_measure(chosen: argparse.Namespace, stack: ExitStack) -> tuple[Measure, tuple[Any, ...]]:
    """Return what measures, a model loaded here or a service elsewhere, and which model it is."""
    if chosen.server is None:
        if chosen.api_key_file is not None:
            raise UsageError("--api-key-file is for a service; name it by --server.")
        process = MeasuringProcess(
            partial(
                load_local_measure,
                chosen.model,
                backend=chosen.backend,
                precision=chosen.precision,
                caption=not chosen.bare_overlays,
            )
        )
        stack.callback(process.close)
        return process, process.model
    if (chosen.model, chosen.backend, chosen.precision) != (SHIPPED_MODEL_DIR, "auto", "auto"):
        raise UsageError("--model, --backend and --precision are the server's to choose.")
    if find_spec("httpx") is None:
        raise UsageError("--server needs httpx; install it with: pip install 'headcirc[client]'")
    from headcirc.batch.remote import open_remote_measure

    return stack.enter_context(
        open_remote_measure(chosen.server, chosen.api_key_file, caption=not chosen.bare_overlays)
    )


def _to_line(row: Row) -> str:
    """Return a row for a person; a name may hold what is not visible, which is escaped."""
    if row.head_circumference_mm is None:
        return escape_controls(f"{row.image}: not measured: {row.error}")
    uncertainty = "" if row.acceptable else "  NOT RELIABLE"
    notes = f"  [{row.warnings}]" if row.warnings else ""
    fault = f"  ({row.error})" if row.error else ""
    return escape_controls(
        f"{row.image}: HC {row.head_circumference_mm:.1f} mm  "
        f"BPD {row.biparietal_diameter_mm:.1f} mm  OFD {row.occipitofrontal_diameter_mm:.1f} mm"
        f"{uncertainty}{notes}{fault}"
    )


def run_check(chosen: argparse.Namespace) -> int:
    """Load, warm up, say what runs where, and measure a drawn head of known circumference."""
    pipeline = load_pipeline(chosen.model, backend=chosen.backend, precision=chosen.precision)
    return EXIT_ALL_MEASURED if check_measures_truly(pipeline) else EXIT_SOME_NOT


def run_serve(chosen: argparse.Namespace) -> int:
    """Serve over HTTP until told to stop."""
    import ipaddress
    import logging
    import signal

    import uvicorn

    require_free_address(chosen.host, chosen.port)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    host = f"[{chosen.host}]" if ":" in chosen.host else chosen.host
    tqdm.write(f"Starting Headcirc at http://{host}:{chosen.port} (try /docs); Ctrl-C stops it.")
    try:
        is_public = not ipaddress.ip_address(chosen.host).is_loopback
    except ValueError:  # a name
        is_public = chosen.host != "localhost"
    # The server ends what is in flight and then raises the signal anew; that is no failure.
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_ALL_MEASURED))
    uvicorn.run(
        "headcirc_service.app:create_public_app"
        if is_public
        else "headcirc_service.app:create_app",
        factory=True,
        host=chosen.host,
        port=chosen.port,
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
        proxy_headers=False,  # the application's to read: HEADCIRC_TRUSTED_GATEWAYS
        # uvicorn would take WEB_CONCURRENCY for it: processes whose results and counts differ.
        workers=1,
    )
    signal.signal(signal.SIGTERM, previous)
    return EXIT_ALL_MEASURED


RUNS = {"analyze": run_analyze, "batch": run_batch, "serve": run_serve, "check": run_check}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    parser = to_parser()
    chosen = parser.parse_args(arguments)
    if chosen.command is None:
        parser.print_help()
        return EXIT_USAGE
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name may have letters that its encoding lacks
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return RUNS[chosen.command](chosen)
    except (UsageError, HeadCircumferenceError, ValueError) as error:
        _tell(f"headcirc: {error}")
        return EXIT_USAGE
    except BrokenPipeError:  # who read the rows has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _tell(f"headcirc: stopped: nobody reads the rows. {_to_rest(chosen)}")
        return EXIT_SOME_NOT
    except OSError as error:  # such as a full disk; images that cannot be read are rows
        _tell(f"headcirc: {error}. {_to_rest(chosen)}")
        return EXIT_USAGE
    except KeyboardInterrupt:
        _tell(f"headcirc: stopped. {_to_rest(chosen)}")
        return EXIT_STOPPED


def _tell(text: str) -> None:
    """Write to standard error; what is not visible in a name or a server's words is escaped."""
    for line in text.splitlines():
        print(escape_controls(line), file=sys.stderr)


def _to_rest(chosen: argparse.Namespace) -> str:
    """Say what became of a run that ended early."""
    table = getattr(chosen, "csv", None)
    has_table = table is not None and not is_standard_output(table)
    return f"What was written stays{'; --resume goes on from there' * has_table}."


if __name__ == "__main__":
    sys.exit(main())
