from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

pytest.importorskip("ray", reason="the package 'ray' is missing (the extra 'ray')")

from headcirc_service.admission.arrivals import BODIES_PER_PLACE
from headcirc_service.measuring.measurer import GPU_BATCH, PLACES_PER_PICTURE
from headcirc_service.settings import Settings
from ray.serve.schema import ServeDeploySchema

from deploy.ray.application import Sizes, build, require_shared_results
from deploy.ray.serve import main


def test_config_for_a_cluster_is_valid():
    """Ray's own schema takes serve.yaml, its path leads to `build`, and its sizes are ours."""
    schema = ServeDeploySchema.model_validate(
        yaml.safe_load(Path("deploy/ray/serve.yaml").read_text())
    )
    (application,) = schema.applications
    assert application.import_path == f"{build.__module__}:{build.__name__}"
    sizes = Sizes.model_validate(application.args)
    variables = application.runtime_env["env_vars"]
    require_shared_results(sizes, Settings(store_url=variables["HEADCIRC_STORE_URL"]))


def test_unknown_size_is_refused():
    """A typing error in a config's `args` stops the deployment."""
    with pytest.raises(ValidationError, match="replica"):
        Sizes.model_validate({"replica": 2})


def test_replicas_that_share_no_results_are_refused():
    """Several replicas need a Redis, or keep nothing; one may keep its own."""
    with pytest.raises(ValueError, match="HEADCIRC_STORE_URL"):
        require_shared_results(Sizes(max_replicas=2), Settings())
    require_shared_results(Sizes(max_replicas=2), Settings(result_ttl_s=0))
    require_shared_results(Sizes(max_replicas=2), Settings(store_url="redis://host"))
    require_shared_results(Sizes(max_replicas=1), Settings())


def test_deployment_lets_the_service_refuse():
    """Serve takes more requests than the service lets in, so that the service's own 429 is met."""
    options = build(Sizes(cpus=0.5, gpus=0.25))._bound_deployment
    assert options.max_ongoing_requests > BODIES_PER_PLACE * PLACES_PER_PICTURE * GPU_BATCH
    assert options.ray_actor_options["num_cpus"] == 0.5
    assert options.ray_actor_options["num_gpus"] == 0.25


def test_larger_batch_lets_more_requests_in(monkeypatch):
    """A queue that is left to the batch's size grows with it, and what Serve takes as well."""
    monkeypatch.setenv("HEADCIRC_MAX_BATCH", "32")
    options = build(Sizes())._bound_deployment
    assert options.max_ongoing_requests > BODIES_PER_PLACE * PLACES_PER_PICTURE * 32


def test_unusable_setting_ends_with_status_2(monkeypatch, capsys):
    """A setting that is none is told in a sentence, before Ray is started."""
    monkeypatch.setenv("HEADCIRC_QUEUE", "1")
    assert main([]) == 2
    assert "Unknown setting HEADCIRC_QUEUE" in capsys.readouterr().err
