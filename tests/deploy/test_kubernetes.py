import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from headcirc_service.settings import Settings, require_known_variables
from headcirc_service.telemetry.metrics import Metrics

import headcirc
from tests.support.dockerfile import read_stages
from tests.support.shutdown import find_graceful_s

KUBERNETES = Path("deploy/kubernetes")
RENDERED = ("base", "overlays/gpu", "overlays/redis")
DOCKERFILE = read_stages()
SCHEMA_VERSION = "1.37"


@cache
def render(folder: str) -> list[dict]:
    """Return the objects that `kubectl apply --kustomize` would send."""
    kubectl = Path(sys.executable).with_name("kubectl")
    done = subprocess.run(
        [kubectl, "kustomize", KUBERNETES / folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no deprecation either
    return list(yaml.safe_load_all(done.stdout))


def find(folder: str, kind: str, name: str = "headcirc") -> dict:
    """Return one rendered object."""
    (found,) = (
        each for each in render(folder) if (each["kind"], each["metadata"]["name"]) == (kind, name)
    )
    return found


def find_pod(folder: str, name: str = "headcirc") -> dict:
    """Return the pod of a rendered deployment."""
    return find(folder, "Deployment", name)["spec"]["template"]["spec"]


def find_container(folder: str) -> dict:
    """Return the service's container."""
    (container,) = find_pod(folder)["containers"]
    return container


@pytest.mark.parametrize("folder", RENDERED)
def test_rendered_objects_conform_to_the_published_schemas(folder):
    """The check is strict: an unknown field is an error."""
    kinds = {each["kind"] for each in render(folder)}
    assert kinds >= {
        "Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy",
    }  # fmt: skip
    for each in render(folder):
        kubernetes_validate.validate(each, SCHEMA_VERSION, strict=True)


def test_validator_refuses_an_unknown_field():
    """So the check above is effective."""
    wrong = {**find("base", "Service"), "spec": {"prots": []}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, SCHEMA_VERSION, strict=True)


@pytest.mark.parametrize("folder", RENDERED)
def test_pods_are_confined(folder):
    """Not root, read-only, no privilege escalation, no token, and limited memory."""
    for each in render(folder):
        if each["kind"] != "Deployment":
            continue
        pod = each["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not pod["automountServiceAccountToken"]
        for container in pod["containers"] + pod.get("initContainers", []):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("folder", RENDERED)
def test_no_service_name_becomes_a_setting(folder):
    """A Service named headcirc would add a variable that the service refuses."""
    with pytest.raises(ValueError, match="HEADCIRC_SERVICE_HOST"):
        require_known_variables({"HEADCIRC_SERVICE_HOST": "10.0.0.1"})
    assert find_pod(folder)["enableServiceLinks"] is False


@pytest.mark.parametrize("folder", RENDERED)
def test_kubernetes_sets_only_known_and_valid_settings(folder):
    """Each variable is a setting of the service with a valid value."""
    variables = {each["name"]: each.get("value") for each in find_container(folder)["env"]}
    require_known_variables(variables)
    variables = {name: each for name, each in variables.items() if name.startswith("HEADCIRC_")}
    fixed = {k.removeprefix("HEADCIRC_").lower(): v for k, v in variables.items() if v}
    fixed.pop("artifact_dir", None)  # a folder of the cluster
    Settings(**fixed, api_key_hashes="0" * 64)


@pytest.mark.parametrize("folder", RENDERED)
def test_grace_period_covers_the_whole_shutdown(folder):
    """It covers preStop, drain and the time for requests in flight."""
    pod, container = find_pod(folder), find_container(folder)
    pre_stop_s = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    (drain,) = (each for each in container["env"] if each["name"] == "HEADCIRC_DRAIN_MS")
    drain_s = int(drain["value"]) / 1000
    assert pod["terminationGracePeriodSeconds"] > pre_stop_s + drain_s + find_graceful_s()
    probe = container["readinessProbe"]
    assert drain_s > probe["periodSeconds"] * probe["failureThreshold"]


@pytest.mark.parametrize("folder", RENDERED)
def test_probes_use_the_right_endpoints(folder):
    """Liveness uses /livez and readiness /readyz, at the image's port."""
    container = find_container(folder)
    paths = {
        name: container[f"{name}Probe"]["httpGet"]["path"]
        for name in ("startup", "liveness", "readiness")
    }
    assert paths == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}
    (port,) = container["ports"]
    assert str(port["containerPort"]) == DOCKERFILE["cpu"].find_last("EXPOSE")


@pytest.mark.parametrize(
    ("folder", "target"), [("base", "cpu"), ("overlays/gpu", "gpu"), ("overlays/redis", "cpu")]
)
def test_image_is_the_version_of_the_project(folder, target):
    """The target's tag; the user is the image's own."""
    pod = find_pod(folder)
    for container in pod["containers"] + pod.get("initContainers", []):
        assert container["image"] == f"headcirc:{headcirc.__version__}-{target}"
    security = pod["securityContext"]
    user = f"{security['runAsUser']}:{security['runAsGroup']}"
    assert user == DOCKERFILE[target].find_last("USER")


@pytest.mark.parametrize("folder", RENDERED)
def test_selectors_match_the_services_pods_only(folder):
    """Service, budget, policy and deployment name the same pods; Redis' are not among them.

    Nor are another application's that has a component of the same name.
    """
    deployment = find(folder, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    selectors = [
        find(folder, "Service")["spec"]["selector"],
        find(folder, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        find(folder, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        deployment["spec"]["selector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector["app.kubernetes.io/name"] == "headcirc"
        assert selector.items() <= labels
        for each in render(folder):
            if each["kind"] == "Deployment" and each != deployment:
                others = each["spec"]["template"]["metadata"]["labels"].items()
                assert not selector.items() <= others


@pytest.mark.parametrize("folder", RENDERED)
def test_autoscaler_uses_an_existing_metric(folder):
    """The queue's depth, which the adapter's rules pass on; replicas are not fixed beside it."""
    (metric,) = find(folder, "HorizontalPodAutoscaler")["spec"]["metrics"]
    name = metric["pods"]["metric"]["name"]
    assert name == next(iter(Metrics().queue_depth.collect())).name
    adapter = yaml.safe_load((KUBERNETES / "adapter-rules.yaml").read_text())
    assert [each["name"]["as"] for each in adapter["rules"]["custom"]] == [name]
    assert "replicas" not in find(folder, "Deployment")["spec"]


def test_gpu_overlay_keeps_engines_beside_a_copy_of_the_model():
    """The service's model folder is on the volume and is filled before the start."""
    container, pod = find_container("overlays/gpu"), find_pod("overlays/gpu")
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    folder = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    (seed,) = pod["initContainers"]
    source, target = seed["command"][-2:]
    served = folder["HEADCIRC_ARTIFACT_DIR"]
    assert (source, target) == ("model/.", served)  # the Dockerfile links `model` to what ships
    assert "SHIPPED_MODEL_DIR" in Path("Dockerfile").read_text()
    for each in (container, seed):
        assert str(Path(served).parent) in {mount["mountPath"] for mount in each["volumeMounts"]}


def test_only_the_service_can_reach_redis():
    """Its address is the Service's; outgoing traffic must pass both policies."""
    variables = {e["name"]: e.get("value") for e in find_container("overlays/redis")["env"]}
    host, port = re.fullmatch(r"redis://:.+@(.+):(\d+)/0", variables["HEADCIRC_STORE_URL"]).groups()
    service = find("overlays/redis", "Service", host)["spec"]
    assert service["ports"][0]["port"] == int(port)
    (way_in,) = find("overlays/redis", "NetworkPolicy", host)["spec"]["ingress"]
    (peer,) = way_in["from"]
    deployment = find("overlays/redis", "Deployment")
    assert peer["podSelector"]["matchLabels"] == deployment["spec"]["selector"]["matchLabels"]
    its_pods = {"app.kubernetes.io/name": "headcirc", "app.kubernetes.io/component": "redis"}
    assert service["selector"] == its_pods
    ways_out = find("overlays/redis", "NetworkPolicy")["spec"]["egress"]
    assert {each["port"] for way in ways_out for each in way["ports"]} == {int(port), 53}
    assert ways_out[0]["to"] == [{"podSelector": {"matchLabels": its_pods}}]
    assert find("base", "NetworkPolicy")["spec"].get("egress", []) == []
