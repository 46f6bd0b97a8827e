"""Whether what is to be deployed is described, named, and there to be started."""

import json
import re

import pytest
import yaml
from pytest_runbook import Unmeasured, check
from pytest_runbook.interpolation import filled


@check("predeploy", severity="P1", runbook="configuration-invalid", needs="host")
def test_compose_file_parses(host, facts):
    """The compose file can be read and describes every service of ours (guide G03)."""
    services = _services(host, facts)
    missing = [name for name in facts.deploy.compose_services.values() if name not in services]
    assert not missing, f"{facts.paths.compose} has no service {', '.join(missing)}"


@check("predeploy", severity="P1", runbook="configuration-invalid", needs="host")
def test_compose_file_has_its_variables(host, system, facts):
    """Every variable that the compose file uses has a value: it would be empty otherwise, or the start would fail (guide G03)."""
    # Written again, without its comments.
    _, missing = filled(json.dumps(_described(host, facts), default=str), system.environment)
    assert not missing, f"{facts.paths.compose} uses what is not set: {', '.join(sorted(missing))}"


@check("predeploy", severity="P2", runbook="image-missing", needs="host")
def test_images_have_a_fixed_tag(host, system, settings, facts):
    """Every image is named by a tag that stays what it is: with `latest` nobody can go back (guide G03)."""
    if settings.system.environment == "development":
        pytest.skip("a development system may follow the latest image")
    images = _images(host, system, facts)
    assert images, f"{facts.paths.compose} names no image"
    moving = [image for image in images.values() if not _is_fixed(image, facts.deploy.moving_tags)]
    assert not moving, f"images without a fixed tag: {', '.join(moving)}"


@check("predeploy", severity="P1", runbook="image-missing", needs="host")
def test_images_are_there(host, system, facts):
    """The images of the version to deploy are on the machine, so that starting them cannot fail half-way (guide G03)."""
    engine = facts.deploy.engine
    if not engine:
        pytest.skip("no container engine starts this system: facts.deploy.engine is empty")
    if not host.exists(engine):
        raise Unmeasured(f'the machine has no "{engine}"\n  hint: install it, or correct facts.deploy.engine')
    own = {image for name, image in _images(host, system, facts).items() if name in facts.deploy.images}
    looks = {image: host.run(f"{engine} image inspect %s", image) for image in sorted(own)}
    silent = [look.stderr.strip() for look in looks.values() if re.search(facts.deploy.engine_down, look.stderr)]
    if silent or not looks:
        raise Unmeasured(
            f"the images cannot be listed: {silent[0] if silent else 'the compose file starts none of ours'}"
        )
    absent = [image for image, look in looks.items() if look.rc != 0]
    assert not absent, f"{engine} has no image {', '.join(absent)}"


def _described(host, facts):
    """What the compose file says."""
    file = host.file(facts.paths.compose)
    assert file.exists, f"there is no compose file {facts.paths.compose}"
    try:
        return yaml.safe_load(file.content_string)
    except yaml.YAMLError as error:
        pytest.fail(f"{facts.paths.compose} is not YAML: {' '.join(str(error).split())}")


def _services(host, facts):
    """Name to description of each service of the compose file."""
    told = _described(host, facts)
    services = told.get("services") if isinstance(told, dict) else None
    assert isinstance(services, dict) and services, f"{facts.paths.compose} describes no services"
    return services


def _images(host, system, facts):
    """Service to the image that the compose file starts for it, its variables filled in."""
    named = {
        name: service.get("image") for name, service in _services(host, facts).items() if isinstance(service, dict)
    }
    return {name: filled(image, system.environment)[0] for name, image in named.items() if image}


def _is_fixed(image, moving):
    """Whether IMAGE has a digest, or a tag that is none of those MOVING."""
    if "@sha256:" in image:
        return True
    _, colon, tag = image.rpartition("/")[2].partition(":")
    return bool(colon and tag) and tag not in moving
