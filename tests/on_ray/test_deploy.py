"""The service by `serve deploy`, as on a cluster; here the cluster is a single machine."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from harness.service_process import find_free_port
from headcirc.geometry import PixelSpacing
from headcirc.pipeline import load_pipeline
from tests.on_ray.conftest import PHANTOM, PIXEL_SIZE_MM, WAIT_S, wait_for
from tests.support.redis_server import run_redis

CONFIG = Path("deploy/ray/serve.yaml")
PROXY = "deploy.ray.proxy:to_middlewares"
OBJECT_STORE_BYTES = "150000000"
"""As in `headcirc.batch.ray_cluster`: nothing but names and rows passes through."""
RAY, SERVE = (
    [sys.executable, "-c", f"from {module} import {name}; {name}()"]
    for module, name in (("ray.scripts.scripts", "main"), ("ray.serve.scripts", "cli"))
)


@pytest.fixture
def redis(tmp_path):
    with run_redis(tmp_path) as server:
        yield server


@pytest.fixture
def cluster(tmp_path):
    """Start a head as `ray start --head` does; yields the process, its environment, its log."""
    ports = {
        name: find_free_port() for name in ("port", "dashboard-port", "dashboard-agent-listen-port")
    }
    environment = dict(os.environ) | {  # noqa: TID251 - a child's
        "PYTHONPATH": ".",
        "RAY_AUTH_MODE": "token",
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": PROXY,
        "RAY_DASHBOARD_ADDRESS": f"http://127.0.0.1:{ports['dashboard-port']}",
        "RAY_ADDRESS": f"127.0.0.1:{ports['port']}",
    }
    options = [f"--{name}={port}" for name, port in ports.items()]
    options += ["--head", "--block", "--node-ip-address=127.0.0.1", "--num-cpus=2"]
    options += [f"--object-store-memory={OBJECT_STORE_BYTES}", "--include-dashboard=true"]
    with (tmp_path / "ray.log").open("w") as log:
        head = subprocess.Popen([*RAY, "start", *options], env=environment, stdout=log, stderr=log)
        try:
            yield head, environment
        finally:
            head.terminate()
            head.wait(WAIT_S)


def write_config(path, redis_url, port):
    """Take the shipped configuration; its address, Redis and size are a test's."""
    config = yaml.safe_load(CONFIG.read_text())
    (application,) = config["applications"]
    config["http_options"] |= {"host": "127.0.0.1", "port": port}
    application["args"] |= {"min_replicas": 2, "max_replicas": 2, "cpus": 1}
    application["runtime_env"]["env_vars"] = {"HEADCIRC_STORE_URL": redis_url}
    path.write_text(yaml.safe_dump(config))
    return path


def ask_whether_ready(url):
    try:
        return [200] if httpx.get(f"{url}/readyz", timeout=10).status_code == 200 else []
    except httpx.HTTPError:
        return []


@pytest.mark.slow
def test_service_is_deployed_on_a_running_ray(cluster, redis, tmp_path):
    """Two replicas answer the plain number, and each finds in Redis what the other measured."""
    head, environment = cluster
    port = find_free_port()
    deploy = [*SERVE, "deploy", str(write_config(tmp_path / "serve.yaml", redis.url, port))]

    def try_to_deploy() -> list[int]:  # until the dashboard, which takes the request, is up
        done = subprocess.run(deploy, env=environment, capture_output=True, check=False)
        return [done.returncode + 1] if done.returncode == 0 else []

    wait_for("the dashboard", try_to_deploy, head)
    url = f"http://127.0.0.1:{port}"
    wait_for("the service", lambda: ask_whether_ready(url), head)
    content, size_mm = PHANTOM.read_bytes(), float(PIXEL_SIZE_MM)
    body = httpx.post(
        f"{url}/v1/analyses",
        files={"image": content},
        data={"pixel_size_mm": PIXEL_SIZE_MM},
        timeout=60,
    ).json()
    expected = load_pipeline(threads=1).analyze(
        content, pixel_spacing=PixelSpacing(size_mm, size_mm)
    )
    assert body["head"]["head_circumference_mm"] == pytest.approx(
        expected.head.measurement.head_circumference_mm, abs=1e-6
    )
    masks = [httpx.get(url + body["links"]["mask"], timeout=60) for _ in range(8)]
    assert {mask.status_code for mask in masks} == {200}
    assert len({mask.content for mask in masks}) == 1
