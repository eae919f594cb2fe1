"""The command line: `headcirc analyze`, `batch`, `serve` and the others."""

from headcirc.cli.commands import main

__all__ = ["main"]
