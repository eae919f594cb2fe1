"""Run the network in several runtimes behind one protocol, one module per runtime.

A runtime's library is imported only after the runtime was chosen.
"""

from headcirc.backends.base import Backend
from headcirc.backends.registry import load_backend, load_shared_backend

__all__ = ["Backend", "load_backend", "load_shared_backend"]
