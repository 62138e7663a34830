"""Fixtures of the flow tests: running services. Their logs are part of every failure report."""

import json
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from burnish.image.reader import open_volume
from burnish.secure_files import Keyring, open_secure
from burnish.settings import read_settings
from burnish.verify import examine_volume
from flow.service import Service
from flow.statement_checks import not_in_the_statement
from ports import free_port

_SERVICES = pytest.StashKey[list[Service]]()

StartBurnish = Callable[..., Service]


@pytest.fixture
def start_burnish(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StartBurnish]:
    """Starts services, each with its own port and storage root.

    `start_burnish(request={"attempts": 1}, device=[{"name": "outbox"}])`: keywords are tables of
    the configuration. They override the usual ones key by key; arrays of tables replace them.
    """
    yield from _starting(request.node, tmp_path)


@pytest.fixture(scope="module")
def start_shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartBurnish]:
    """Like start_burnish, for services that all tests of a module share."""
    yield from _starting(request.node, tmp_path_factory.mktemp("shared"))


def _starting(node: pytest.Item | pytest.Collector, directory: Path) -> Iterator[StartBurnish]:
    services: list[Service] = []
    node.stash[_SERVICES] = services

    def start(**tables: Any) -> Service:
        service = Service(directory / f"burnish-{len(services) + 1}", free_port(), tables)
        services.append(service)
        service.start()
        return service

    try:
        yield start
    finally:
        failures = []
        for service in services:
            failures += _faults_of_images(service)
            failures += _not_in_its_statement(service)
            try:
                if service.running:
                    service.stop()
                elif not service.ended:
                    failures.append(f"the service ended by itself\n{service.tail()}")
            except (AssertionError, pytest.fail.Exception) as failure:
                failures.append(str(failure))
        if failures:
            pytest.fail("\n".join(failures))


def _not_in_its_statement(service: Service) -> list[str]:
    """What a service has sent to other AEs and its Conformance Statement does not list."""
    return not_in_the_statement(service.record, read_settings(service.config))


def _faults_of_images(service: Service) -> list[str]:
    """What `burnish disc verify` says against the images that a service has published.

    No volume that Burnish makes has a fault, whatever a test puts on it; of secure volumes the
    envelopes are examined.
    """
    faults = []
    for manifest in sorted(service.outbox.glob("*/*.json")):
        image = manifest.parent / json.loads(manifest.read_bytes()).get("image", "")
        if image.is_file():
            with open_volume(image, twice=True) as volume:
                report = examine_volume(open_secure(volume, Keyring()))
            faults += [f"{image}: {fault}" for fault in report.faults]
    return faults


@pytest.fixture
def burnish(request: pytest.FixtureRequest, start_burnish: StartBurnish) -> Service:
    """A running service. `@pytest.mark.settings(request={…}, device=[…])` changes its tables."""
    marks = list(request.node.iter_markers("settings"))
    tables: dict[str, Any] = {}
    for mark in reversed(marks):
        tables |= mark.kwargs
    return start_burnish(**tables)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for node in item.listchain():
            for service in node.stash.get(_SERVICES, []):
                title = f"log of the service on port {service.port}"
                report.sections.append((title, service.tail()))
    return report
