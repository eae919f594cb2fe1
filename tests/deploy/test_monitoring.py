import hashlib
import json
import math
import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest
import yaml
from headcirc_service.telemetry.metrics import Metrics
from prometheus_client import generate_latest

from harness.service_process import find_free_port, start_service
from headcirc.pipeline import SHIPPED_MODEL_DIR

PROMETHEUS = Path("deploy/prometheus")
GRAFANA = Path("deploy/grafana")
PATIENCE_S = 180.0
ADDRESS = "127.0.0.1"
PHANTOM = Path("examples/phantom.png").read_bytes()
CONFIGURATION = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
RULES = [
    rule
    for path in sorted(PROMETHEUS.glob(CONFIGURATION["rule_files"][0]))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((GRAFANA / "dashboards/headcirc.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
METRICS_KEY = "a-key-for-tests"
METRICS_HASH = hashlib.sha256(METRICS_KEY.encode()).hexdigest()
METRIC_NAME = re.compile(r"\b(?:(?:headcirc|process|\w+:headcirc)_[\w:]+|up)\b")


def find_metrics(expression: str) -> set[str]:
    """Return the names of the series that an expression reads."""
    without_labels = re.sub(r"\{[^}]*\}|\([^()]*\)(?=\s*\()|\"[^\"]*\"", " ", expression)
    return set(METRIC_NAME.findall(without_labels))


def require_tool(name: str) -> str:
    """Return a command of Debian's package prometheus, or skip."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is missing; install Debian's package prometheus: make system-deps")
    return found


def copy_configuration(folder: Path, scrape: dict) -> Path:
    """Copy the shipped files; the key lies elsewhere than in the container."""
    shutil.copytree(PROMETHEUS, folder / "shipped")
    key = folder / "metrics-key"
    key.write_text(METRICS_KEY)
    (job,) = CONFIGURATION["scrape_configs"]
    here = job | {"authorization": {"credentials_file": str(key)}} | scrape
    here = {name: value for name, value in here.items() if value is not None}
    path = folder / "shipped/prometheus.yml"
    path.write_text(yaml.safe_dump(CONFIGURATION | {"scrape_configs": [here]}))
    return path


def test_promtool_finds_nothing_in_the_configuration(tmp_path):
    """With the key that compose mounts; without it promtool would refuse."""
    path = copy_configuration(tmp_path, {})
    command = [require_tool("promtool"), "check", "config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", *(str(each) for each in sorted(PROMETHEUS.glob("rules/*.yml")))),
        ("test", "rules", "deploy/prometheus/rules_test.yml"),
    ],
    ids=["rules", "rules-tests"],
)
def test_promtool_finds_nothing(arguments):
    """Syntax of configuration and rules, and the rules' own tests on series with known answers."""
    done = subprocess.run(
        [require_tool("promtool"), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested():
    """Each alert has a series that fires it."""
    tests = yaml.safe_load((PROMETHEUS / "rules_test.yml").read_text())["tests"]
    fired = {
        case["alertname"]
        for each in tests
        for case in each.get("alert_rule_test", [])
        if case["exp_alerts"]
    }
    assert fired == {rule["alert"] for rule in RULES if "alert" in rule}


def test_dashboard_and_rules_use_existing_metrics():
    """Each name is a metric of the service or its process, or a recorded rule."""
    told = set(re.findall(r"^# TYPE (\S+)", generate_latest(Metrics().registry).decode(), re.M))
    told |= {f"{each}{part}" for each in told for part in ("_bucket", "_sum", "_count")}
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    read = set().union(*(find_metrics(each) for each in QUERIES + [r["expr"] for r in RULES]))
    assert len(read) > 10
    assert read - told - recorded == {"up"}


def test_dashboard_is_provisioned_where_compose_mounts_it():
    """Data source, folder and mount match, and each panel has a description."""
    source = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())
    provider = yaml.safe_load((GRAFANA / "provisioning/dashboards/headcirc.yml").read_text())
    grafana = yaml.safe_load(Path("docker-compose.yml").read_text())["services"]["grafana"]
    (path,) = (each["options"]["path"] for each in provider["providers"])
    assert f"./deploy/grafana/dashboards:{path}:ro" in grafana["volumes"]
    uids = {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]}
    assert uids == {each["uid"] for each in source["datasources"]}
    assert all(panel["description"] for panel in DASHBOARD["panels"])
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@contextmanager
def start_prometheus(folder: Path, service_port: int):
    """Run Debian's Prometheus with the shipped files; only where the service lies is another."""
    targets = [{"targets": [f"{ADDRESS}:{service_port}"]}]
    path = copy_configuration(folder, {"dns_sd_configs": None, "static_configs": targets})
    port = find_free_port()
    process = subprocess.Popen(
        [require_tool("prometheus"), f"--config.file={path}",
         f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address={ADDRESS}:{port}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://{ADDRESS}:{port}/api/v1", timeout=30) as client:
            yield client
    finally:
        process.terminate()
        process.wait()


def send_requests(url: str, turn: int) -> None:
    """Ask for all that moves a metric: answers, warnings, a repetition, a picture, refusals."""
    keyed = {"authorization": f"Bearer {METRICS_KEY}"}
    content = PHANTOM + bytes(turn)  # another file each time, so that it is measured
    for data in ({"pixel_size_mm": "0.1277"}, {"pixel_size_mm": "0.1277"}, {}):
        answer = httpx.post(
            f"{url}/v1/analyses", files={"image": content}, data=data, headers=keyed
        )
        assert answer.is_success
        assert httpx.get(url + answer.json()["links"]["overlay"], headers=keyed).is_success
    assert httpx.get(f"{url}/v1/analyses/nothing", headers=keyed).status_code == 404
    connection = HTTPConnection(httpx.URL(url).netloc.decode())
    connection.request("POST", "/v1/mask", headers=keyed | {"content-length": "999999999"})
    assert connection.getresponse().status == 413
    connection.close()


def has_data(client: httpx.Client, query: str) -> bool:
    """Return whether Prometheus answers a query with at least one finite number."""
    answer = client.get("/query", params={"query": query})
    assert answer.is_success, answer.text
    return any(math.isfinite(float(each["value"][1])) for each in answer.json()["data"]["result"])


@pytest.mark.slow
def test_prometheus_with_the_shipped_files_answers_every_query(tmp_path):
    """Dashboard, recorded series and what the alerts read have data; every rule evaluates."""
    known = [each.replace("$__rate_interval", "1m").replace("$instance", ".*") for each in QUERIES]
    recorded = [rule["record"] for rule in RULES if "record" in rule]
    alerted = set().union(*(find_metrics(rule["expr"]) for rule in RULES if "alert" in rule))
    missing = {*known, *recorded, *alerted}
    with (
        start_service(SHIPPED_MODEL_DIR, api_key_hashes=METRICS_HASH) as service,
        start_prometheus(tmp_path, service.port) as client,
    ):
        until_s = time.monotonic() + PATIENCE_S
        turn = 0
        while missing and time.monotonic() < until_s:
            turn += 1
            send_requests(service.url, turn)
            time.sleep(3)
            try:
                missing = {each for each in missing if not has_data(client, each)}
            except httpx.TransportError:
                continue  # it does not listen yet
        assert not missing
        groups = client.get("/rules").json()["data"]["groups"]
        health = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
    assert len(health) == len(RULES)
    assert set(health.values()) == {"ok"}
