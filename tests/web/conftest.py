import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from headcirc_service.app import create_app
from headcirc_service.settings import Settings
from playwright.sync_api import expect, sync_playwright

from headcirc.pipeline import load_pipeline
from tests.support.synthetic import to_synthetic_pipeline

PATIENCE_MS = 20_000
expect.set_options(timeout=PATIENCE_MS)  # by default 5 s, too short for a busy machine
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@contextmanager
def serve(pipeline, **settings) -> Iterator[str]:
    """Run the service on a real socket, for a browser; yield its address."""
    with serve_app(create_app(Settings(**settings), pipeline)) as url:
        yield url


@contextmanager
def serve_app(app) -> Iterator[str]:
    """Run an application on a real socket; yield its address."""
    config = uvicorn.Config(app, loop="asyncio", log_level="error")  # as `headcirc serve`
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture(scope="module")
def shipped_url():
    """Return the address of a service with the shipped model."""
    with serve(load_pipeline(threads=1)) as url:
        yield url


@pytest.fixture(scope="module")
def synthetic_url():
    """Return the address of a service that measures bright ellipses."""
    with serve(to_synthetic_pipeline()) as url:
        yield url


@pytest.fixture
def serve_synthetic():
    """Return a function that starts a service that measures bright ellipses."""
    running = []

    def start(pipeline=None, **settings):
        running.append(serve(pipeline or to_synthetic_pipeline(), **settings))
        return running[-1].__enter__()

    yield start
    for each in running:
        each.__exit__(None, None, None)


@pytest.fixture(scope="module")
def browser():
    """Return headless Chromium from Debian; each test uses a new profile."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed (Debian's package chromium; make system-deps)")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser):
    """Return a function that opens the page; an error of its scripts fails the test."""
    contexts, faults = [], []

    def start(url, path="/", **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda line: faults.append(line.text) if is_fault(line) else None)
        page.goto(url + path)
        return page

    yield start
    for context in contexts:
        for page in context.pages:
            page.unroute_all(behavior="ignoreErrors")  # a handler may still be at work
        context.close()
    assert faults == []


def is_fault(line) -> bool:
    """Return whether a console line is a fault; failed HTTP requests are not."""
    return line.type == "error" and not line.text.startswith("Failed to load resource")
