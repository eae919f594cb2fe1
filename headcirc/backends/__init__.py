"""Runtimes behind one protocol; each is imported only when it was chosen."""

from headcirc.backends.base import Backend, load_backend

__all__ = ["Backend", "load_backend"]
