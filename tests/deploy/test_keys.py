import asyncio
import hashlib
import os
import shutil
import stat
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from headcirc_service.settings import load_settings
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from harness.service_process import find_free_port
from tests.deploy.test_compose import COMPOSE, OURS, SERVICES
from tests.deploy.test_kubernetes import find_container, find_pod

SCRIPT = Path("deploy/make_keys.sh")
PATIENCE_S = 10.0


def make_keys(folder: Path) -> subprocess.CompletedProcess:
    command = ["sh", str(SCRIPT), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Return the folder that the documented command makes."""
    folder = tmp_path_factory.mktemp("made") / "keys"
    done = make_keys(folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_one_command_makes_keys_that_the_service_accepts(keys, monkeypatch):
    """Two keys, their hashes as a setting, a password, and an environment file."""
    name, _, value = (keys / "compose.env").read_text().strip().partition("=")
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("HEADCIRC_REQUIRE_API_KEYS", "true")
    made = [(keys / each).read_text() for each in ("api-key", "metrics-key", "redis-password")]
    assert len(set(made)) == 3
    assert all(len(each) == 64 and each.isalnum() for each in made)
    expected = tuple(hashlib.sha256(each.encode()).hexdigest() for each in made[:2])
    assert load_settings().api_key_hashes == expected
    assert (keys / "hashes").read_text() == value


def test_keys_are_never_replaced_and_never_shown(keys):
    """A second run changes nothing and reports it."""
    before = {each: each.read_text() for each in keys.iterdir()}
    again = make_keys(keys)
    assert again.returncode == 1
    assert "never replaced" in again.stderr
    assert {each: each.read_text() for each in keys.iterdir()} == before
    assert not any(content in again.stdout + again.stderr for content in before.values())


def test_keys_are_readable_by_their_owner_only(keys):
    """Files for containers of other users are readable, inside a private folder."""
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    open_to_all = {each.name for each in keys.iterdir() if each.stat().st_mode & stat.S_IROTH}
    assert open_to_all == {"api-key", "metrics-key", "redis-password"}
    assert "/deploy/keys/" in Path(".gitignore").read_text().split()


@pytest.mark.parametrize("name", OURS)
def test_compose_starts_nothing_without_keys(name):
    """The service requires keys, and compose stops without the file."""
    assert SERVICES[name]["environment"]["HEADCIRC_REQUIRE_API_KEYS"] == "true"
    assert SERVICES[name]["env_file"] == ["deploy/keys/compose.env"]


def test_compose_mounts_the_metrics_key_where_prometheus_reads_it():
    """Secret, file and configuration have the same path."""
    assert SERVICES["prometheus"]["secrets"] == ["metrics-key"]
    assert COMPOSE["secrets"]["metrics-key"] == {"file": "deploy/keys/metrics-key"}
    configuration = yaml.safe_load(Path("deploy/prometheus/prometheus.yml").read_text())
    (job,) = configuration["scrape_configs"]
    assert job["authorization"] == {"credentials_file": "/run/secrets/metrics-key"}


def test_compose_redis_has_a_separate_internal_network():
    """Only the service shares it; Prometheus and Grafana do not."""
    assert COMPOSE["networks"] == {"results": {"internal": True}}
    inside = {name for name, each in SERVICES.items() if "results" in each.get("networks", [])}
    assert inside == {"redis", *OURS}
    assert SERVICES["redis"]["networks"] == ["results"]
    assert "ports" not in SERVICES["redis"]


@pytest.mark.parametrize("folder", ["base", "overlays/gpu", "overlays/redis"])
def test_cluster_starts_nothing_without_keys(folder):
    """The Secret is required, and results need the key that requested them."""
    given = {each["name"]: each for each in find_container(folder)["env"]}
    assert given["HEADCIRC_REQUIRE_API_KEYS"]["value"] == "true"
    assert given["HEADCIRC_RESULT_SCOPE"]["value"] == "key"
    secret = given["HEADCIRC_API_KEY_HASHES"]["valueFrom"]["secretKeyRef"]
    assert secret == {"name": "headcirc-api-keys", "key": "hashes"}


def test_kubernetes_defines_the_redis_password_before_its_use():
    """Kubernetes substitutes only earlier variables; both sides read the same Secret."""
    env = find_container("overlays/redis")["env"]
    names = [each["name"] for each in env]
    assert names.index("REDIS_PASSWORD") < names.index("HEADCIRC_STORE_URL")
    password = env[names.index("REDIS_PASSWORD")]
    (redis,) = find_pod("overlays/redis", "headcirc-redis")["containers"]
    assert password in redis["env"]


def to_commands(keys: Path) -> dict[str, list[str]]:
    """Return what compose and Kubernetes run, with the keys where they are here."""
    composed = [each.replace("$$", "$") for each in SERVICES["redis"]["command"]]
    composed = [each.replace("/run/secrets", str(keys)) for each in composed]
    (container,) = find_pod("overlays/redis", "headcirc-redis")["containers"]
    return {"compose": composed, "kubernetes": container["command"]}


@pytest.mark.parametrize("where", ["compose", "kubernetes"])
def test_redis_requires_the_password(keys, where):
    """Debian's Redis, started with the shipped command, refuses access without the password."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is missing; install Debian's package: make system-deps")
    password, port = (keys / "redis-password").read_text(), find_free_port()
    command = to_commands(keys)[where]
    here = command[-1].replace("redis-server -", f"redis-server - --port {port} --bind 127.0.0.1")
    environment = {"PATH": os.environ["PATH"], "REDIS_PASSWORD": password}  # noqa: TID251 - a child's
    process = subprocess.Popen(
        [*command[:-1], here], env=environment, stdout=subprocess.DEVNULL, cwd=keys.parent
    )

    async def scenario():
        async with Redis(port=port) as open_, Redis(port=port, password=password) as known:
            until_s = time.monotonic() + PATIENCE_S
            while True:
                try:
                    await known.ping()
                    break
                except ConnectionError:
                    assert time.monotonic() < until_s, "redis-server never answered"
                    await asyncio.sleep(0.05)
            with pytest.raises(AuthenticationError):
                await open_.ping()
            limits = await known.config_get("maxmemory*")
            shown = Path(f"/proc/{process.pid}/cmdline").read_text()
            return limits, await known.config_get("save"), shown

    try:
        limits, saves, shown = asyncio.run(scenario())
    finally:
        process.terminate()
        process.wait()
    assert limits["maxmemory"] == str(256 * 2**20)
    assert limits["maxmemory-policy"] == "allkeys-lru"
    assert saves == {"save": ""}
    assert "redis-server" in shown  # exec: signals reach it
    assert password not in shown
