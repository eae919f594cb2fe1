"""Serve the HTTP interface from this process, with a pipeline that measures bright ellipses."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from headcirc_service.app import create_app
from headcirc_service.settings import Settings

from harness.service_process import ADDRESS, find_free_port
from tests.support.gateway import wait_until
from tests.support.synthetic import to_synthetic_pipeline


@contextmanager
def serve_synthetic(port: int | None = None) -> Iterator[str]:
    """Serve until the block ends; give the address."""
    port = port or find_free_port()
    app = create_app(Settings(), to_synthetic_pipeline())
    server = uvicorn.Server(
        uvicorn.Config(app, host=ADDRESS, port=port, log_config=None, access_log=False)
    )
    server.install_signal_handlers = lambda: None
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, "the service never started")
    try:
        yield f"http://{ADDRESS}:{port}"
    finally:
        server.should_exit = True
        thread.join(20)


if __name__ == "__main__":  # for a test that kills it
    uvicorn.run(
        create_app(Settings(), to_synthetic_pipeline()),
        host=ADDRESS,
        port=int(sys.argv[1]),
        log_level="warning",
    )
