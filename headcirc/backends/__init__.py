"""Runtimes behind one protocol, one module each; a runtime is imported only when it was chosen."""

from headcirc.backends.base import Backend
from headcirc.backends.registry import load_backend

__all__ = ["Backend", "load_backend"]
