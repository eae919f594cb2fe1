"""`headcirc batch`: measure a large folder on Ray."""

import argparse
from importlib.util import find_spec
from pathlib import Path

from headcirc.batch.files import UsageError, find_images
from headcirc.cli.command import (
    EXIT_ALL_MEASURED,
    EXIT_SOME_NOT,
    Command,
    add_image_arguments,
    add_model_arguments,
    read_stated,
    report,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `batch`."""
    parser.add_argument("source", type=Path, metavar="SRC", help="folder of images")
    parser.add_argument(
        "results", type=Path, metavar="DST", help="folder for the table and the summary"
    )
    add_image_arguments(parser)
    add_model_arguments(parser)
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes (default: as many as there is room for)"
    )
    parser.add_argument(
        "--cpus-per-worker", type=float, default=1.0, metavar="N", help="CPUs for each (default: 1)"
    )
    parser.add_argument(
        "--gpus-per-worker", type=float, default=0.0, metavar="N", help="GPUs for each (default: 0)"
    )
    parser.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help="address of a running cluster; without it, Ray is started here",
    )


def run(options: argparse.Namespace) -> int:
    """Measure the images of a folder that have no result yet."""
    for package in ("ray", "pyarrow"):
        if find_spec(package) is None:
            raise UsageError(f"batch needs {package}; install it with: pip install 'headcirc[ray]'")
    from headcirc.batch.ray_cluster import Plan
    from headcirc.batch.ray_job import run_batch

    plan = Plan(
        options.model.absolute(),
        backend=options.backend,
        precision=options.precision,
        site_file=options.site_file and options.site_file.absolute(),
        workers=options.workers,
        cpus=options.cpus_per_worker,
        gpus=options.gpus_per_worker,
        address=options.ray_address,
        frame_index=options.frame,
    )
    if options.source.is_file():
        raise UsageError(
            f"{str(options.source)!r} is a file; batch needs a folder (analyze takes files)."
        )
    images = find_images([options.source], recursive=options.recursive)
    stated = read_stated(options, images)
    summary = run_batch(
        options.source, options.results, stated, plan, retry_crashed=options.retry_crashed
    )
    print(f"{summary.measured} of {summary.images} images are measured.")
    for line in summary.to_failed_lines():
        report(line)
    return EXIT_SOME_NOT if summary.has_errors else EXIT_ALL_MEASURED


def _describe_resume(_: argparse.Namespace) -> str:
    return "the same command goes on from there"


COMMAND = Command(
    "batch",
    "Measure a large folder on Ray; continue a run that stopped.",
    add_arguments,
    run,
    describe_resume=_describe_resume,
)
