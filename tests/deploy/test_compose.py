import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from headcirc_service.settings import Settings

import headcirc
from headcirc.gateway.settings import load_settings
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


def test_compose_file_conforms_to_the_specification(tmp_path):
    """The file is valid, and the validator refuses an unknown key."""
    path = Path("docker-compose.yml")
    schema = ("--builtin-schema", "vendor.compose-spec")
    assert run_check(*schema, str(path)) == ""
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(path.read_text().replace("read_only:", "readonly:"))
    assert "readonly" in run_check(*schema, str(wrong))


@pytest.mark.parametrize("name", SERVICES)
def test_each_compose_service_is_confined(name):
    """No unneeded capability; no port is reachable from other machines."""
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert name == "grafana" or service["read_only"]  # Grafana writes where it pleases


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name):
    """Our image has the project's version; the others have a patch release."""
    image = SERVICES[name]["image"]
    if "build" in SERVICES[name]:
        target = SERVICES[name]["build"]["target"]
        assert image == f"headcirc:{headcirc.__version__}-{target}"
        assert target in read_stages()
    else:
        assert re.search(r":v?\d+\.\d+\.\d+", image)


@pytest.mark.parametrize("name", OURS)
def test_compose_sets_only_known_settings(name):
    """An unknown one would stop the service; uploads stay in memory; requests can finish."""
    service = SERVICES[name]
    given = {each.removeprefix("HEADCIRC_").lower() for each in service["environment"]}
    assert given <= set(Settings.model_fields)
    assert [each.split(":")[0] for each in service["tmpfs"]] == ["/tmp"]  # noqa: S108
    assert int(service["stop_grace_period"].removesuffix("s")) > find_graceful_s()


def test_gpu_service_keeps_engines_beside_a_copy_of_the_model():
    """The service's model folder is on the volume and is filled before the start."""
    served = SERVICES["headcirc-gpu"]["environment"]["HEADCIRC_ARTIFACT_DIR"]
    (command,) = SERVICES["headcirc-gpu-model"]["command"]
    assert f"cp -R model/. {served} " in command
    for name in ("headcirc-gpu", "headcirc-gpu-model"):
        (volume,) = SERVICES[name]["volumes"]
        assert volume.split(":")[1] == str(Path(served).parent)


def test_default_is_the_service_with_its_monitoring():
    """GPU and Redis need a profile."""
    default = {name for name, service in SERVICES.items() if "profiles" not in service}
    assert default == {"headcirc", "prometheus", "grafana"}


def test_prometheus_scrapes_both_services():
    """Targets have compose's service names and the image's port."""
    configuration = yaml.safe_load(Path("deploy/prometheus/prometheus.yml").read_text())
    (job,) = configuration["scrape_configs"]
    (names,) = job["dns_sd_configs"]
    assert set(names["names"]) == set(OURS)
    command = read_stages()["cpu"].find_last("CMD")
    assert f'"{names["port"]}"' in command


CLINIC = ("gateway", "orthanc", "viewer")


def test_clinic_is_a_profile_of_its_own():
    """It adds the gateway, an archive and a viewer to the service."""
    found = {name for name, service in SERVICES.items() if "clinic" in service.get("profiles", ())}
    assert found == {*CLINIC}


def test_gateway_of_the_clinic_knows_its_neighbours():
    """Names, ports and AE titles of its settings are those of the other containers."""
    settings = load_settings(Path("deploy/clinic/gateway.toml"))
    archive = json.loads(Path("deploy/clinic/orthanc.json").read_text())
    (destination,) = settings.destination
    assert destination.host in SERVICES
    assert (destination.port, destination.ae_title) == (archive["DicomPort"], archive["DicomAet"])
    server = urlsplit(settings.measuring.server)
    assert server.hostname in SERVICES
    assert str(server.port) in SERVICES[server.hostname]["ports"][0].rpartition(":")[2]
    gateway = SERVICES["gateway"]
    assert gateway["ports"] == [f"127.0.0.1:{settings.listener.port}:{settings.listener.port}"]
    assert f"gateway:{settings.queue.folder}" in gateway["volumes"]
    assert settings.measuring.api_key_file == Path("/run/secrets/api-key")
    assert set(gateway["secrets"]) <= set(COMPOSE["secrets"])
    installed = read_stages()["cpu"]
    assert str(settings.queue.folder) in "".join(map(str, vars(installed).values()))


def test_viewer_of_the_clinic_reaches_the_archive():
    text = Path("deploy/clinic/viewer.conf").read_text()
    archive = json.loads(Path("deploy/clinic/orthanc.json").read_text())
    assert f"proxy_pass http://orthanc:{archive['HttpPort']};" in text
    assert f"location {archive['DicomWeb']['Root']} {{" in text
    assert SERVICES["viewer"]["ports"] == ["127.0.0.1:8002:8080"]
    assert "listen 8080;" in text


@pytest.mark.parametrize("name", CLINIC)
def test_files_that_the_clinic_mounts_exist(name):
    files = [each.split(":")[0] for each in SERVICES[name]["volumes"] if each.startswith("./")]
    assert files
    assert all(Path(each).is_file() for each in files)
