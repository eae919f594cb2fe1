import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from headcirc_service.settings import Settings

import headcirc
from tests.support.dockerfile import read_stages
from tests.support.shutdown import find_graceful_s

COMPOSE = yaml.safe_load(Path("docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OURS = ("headcirc", "headcirc-gpu")


def run_check(*arguments: str) -> str:
    """Run check-jsonschema and return what it found."""
    command = [Path(sys.executable).with_name("check-jsonschema"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout


def test_compose_file_is_what_the_specification_has(tmp_path):
    """Valid; and the check is one, for it refuses a key that there is not."""
    path = Path("docker-compose.yml")
    schema = ("--builtin-schema", "vendor.compose-spec")
    assert run_check(*schema, str(path)) == ""
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(path.read_text().replace("read_only:", "readonly:"))
    assert "readonly" in run_check(*schema, str(wrong))


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_confined(name):
    """No capability kept without need; nothing is reached from beyond this machine."""
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert name == "grafana" or service["read_only"]  # Grafana writes where it pleases


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name):
    """Ours by the project's version, others by a patch release."""
    image = SERVICES[name]["image"]
    if "build" in SERVICES[name]:
        target = SERVICES[name]["build"]["target"]
        assert image == f"headcirc:{headcirc.__version__}-{target}"
        assert target in read_stages()
    else:
        assert re.search(r":v?\d+\.\d+\.\d+", image)


@pytest.mark.parametrize("name", OURS)
def test_service_gets_settings_that_there_are(name):
    """An unknown one would stop it; uploads go to memory; what is in flight can end."""
    service = SERVICES[name]
    given = {each.removeprefix("HEADCIRC_").lower() for each in service["environment"]}
    assert given <= set(Settings.model_fields)
    assert [each.split(":")[0] for each in service["tmpfs"]] == ["/tmp"]  # noqa: S108
    assert int(service["stop_grace_period"].removesuffix("s")) > find_graceful_s()


def test_gpu_service_keeps_engines_beside_a_copy_of_the_model():
    """The folder that is served from is the volume's, filled before the start."""
    served = SERVICES["headcirc-gpu"]["environment"]["HEADCIRC_ARTIFACT_DIR"]
    (command,) = SERVICES["headcirc-gpu-model"]["command"]
    assert f"cp -R model/. {served} " in command
    for name in ("headcirc-gpu", "headcirc-gpu-model"):
        (volume,) = SERVICES[name]["volumes"]
        assert volume.split(":")[1] == str(Path(served).parent)


def test_default_is_the_service_with_its_monitoring():
    """GPU and Redis come only when they are asked for."""
    default = {name for name, service in SERVICES.items() if "profiles" not in service}
    assert default == {"headcirc", "prometheus", "grafana"}


def test_prometheus_looks_for_both_services():
    """By the names that compose gives them, at the port that the image listens on."""
    configuration = yaml.safe_load(Path("deploy/prometheus/prometheus.yml").read_text())
    (job,) = configuration["scrape_configs"]
    (names,) = job["dns_sd_configs"]
    assert set(names["names"]) == set(OURS)
    command = read_stages()["cpu"].find_last("CMD")
    assert f'"{names["port"]}"' in command
