"""Monitoring with a real Prometheus; the counts after each process was killed."""

import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client.parser import text_string_to_metric_families
from pydicom import dcmread
from pynetdicom import AE, build_context

from burnish import file_meta
from burnish.access.outgoing_associations import RELIABLE_CHECKPOINT
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN
from factories import CT, SampleInstance, instance
from flow import clients
from flow.conftest import StartBurnish
from flow.service import Service
from ports import free_port
from waiting import wait_until

DOCS = Path(__file__).resolve().parents[2] / "docs/monitoring"
#: What does not happen in these tests.
_NEVER = ("burnish_conversions", "burnish_piece_retries", 'state="SPOILED"', 'status="FAILURE"')

Values = dict[tuple[str, ...], float]


@pytest.fixture
def service(start_burnish: StartBurnish) -> Service:
    web_port = free_port()
    service = start_burnish(
        web={"enabled": True, "port": web_port},
        dicom={"receivers": 2},
        peer=[{"ae_title": "CT1", "addresses": ["127.0.0.1"]}],
        notify={
            "after": "1s",
            "receiver": [{"name": "duty", "kind": "command", "command": ["true"]}],
        },
    )
    service.web = f"http://127.0.0.1:{web_port}"  # type: ignore[attr-defined]
    return service


@pytest.fixture
def token(service: Service) -> str:
    done = service.run("token", "create", "prometheus", "--role", "viewer")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1]


def scraped(service: Service, token: str) -> Values:
    """The values by name and sorted labels, once the web process answers."""
    texts: list[str] = []

    def answers() -> bool:
        request = urllib.request.Request(  # noqa: S310
            f"{service.web}/metrics",  # type: ignore[attr-defined]
            headers={"authorization": f"Bearer {token}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                texts[:] = [answer.read().decode()]
        except OSError:
            return False
        return True

    wait_until(answers, deadline=120, what="an answer of /metrics")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(texts[0])
        for sample in family.samples
    }


@contextmanager
def storing(port: int) -> Iterator[Callable[[SampleInstance], int | None]]:
    """An association of CT1, as a function that stores an instance and returns the status."""
    ae = AE("CT1")
    ae.acse_timeout = ae.connection_timeout = ae.dimse_timeout = ae.network_timeout = 60
    association = ae.associate(
        clients.HOST,
        port,
        contexts=[build_context(CT, EXPLICIT_VR_LITTLE_ENDIAN)],
        ae_title=clients.CALLED,
        evt_handlers=[RELIABLE_CHECKPOINT],
    )
    if not association.is_established:
        raise ConnectionError

    def store(sample: SampleInstance) -> int | None:
        head = file_meta.encode(
            sample.sop_class_uid, sample.sop_instance_uid, sample.transfer_syntax_uid, "CT1"
        )
        data_set = dcmread(io.BytesIO(head + sample.data_set))
        status = association.send_c_store(data_set).get("Status")
        return None if status is None else int(status)

    try:
        yield store
    finally:
        association.release()


def create_request(service: Service, sample: SampleInstance) -> None:
    uid = sample.sop_instance_uid
    service.cli("request", "create", "--instance", uid, "--initiate", json=False)


def rows(service: Service, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(service.root / "burnish.db")) as connection:
        return connection.execute(query).fetchall()


def kill_each_role(service: Service) -> None:
    """Kills every process below the supervisor, and waits until each has a successor."""
    killed = psutil.Process(service.pid).children()
    for process in killed:
        os.kill(process.pid, signal.SIGKILL)
    wait_until(
        lambda: len(set(service.roles()) - set(killed)) == len(killed),
        deadline=120,
        what="a successor of each process",
    )
    wait_until(lambda: clients.echo(service.port) == 0, deadline=120, what="a C-ECHO")


class Sender:
    """Stores instances one after the other until told to stop; counts what was acknowledged."""

    def __init__(self, port: int) -> None:
        self.sent = self.acknowledged = self.associations = 0
        self._port = port
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._send()
            except (OSError, RuntimeError, ValueError):
                continue

    def _send(self) -> None:
        with storing(self._port) as store:
            self.associations += 1
            while not self._stopping.is_set():
                self.sent += 1
                if store(instance()) != 0:
                    return
                self.acknowledged += 1


def test_counts_are_right_to_the_unit_after_each_process_was_killed(
    service: Service, token: str
) -> None:
    sender = Sender(service.port)
    for number in range(2):
        wait_until(
            lambda number=number: sender.acknowledged > 30 * (number + 1),  # type: ignore[misc]
            deadline=120,
            what="acknowledged instances",
        )
        kill_each_role(service)
    sender.stop()

    def has_all_rows() -> bool:
        ((count,),) = rows(service, "SELECT count(*) FROM instance")
        return bool(count >= sender.acknowledged)

    wait_until(has_all_rows, deadline=120, what="a row of each acknowledged instance")
    values = scraped(service, token)
    ((count,),) = rows(service, "SELECT count(*) FROM instance")
    assert values["burnish_instances_received_total", "CT1"] == count
    responses = values["burnish_store_responses_total", "CT1", "0000"]
    assert sender.acknowledged <= responses <= sender.sent
    assert responses == values[("burnish_receive_seconds_count",)]
    assert values["burnish_associations_total", "CT1"] >= sender.associations


def test_ended_requests_are_counted_once_whatever_was_killed(service: Service, token: str) -> None:
    for number in range(3):
        sample = instance()
        with storing(service.port) as store:
            assert store(sample) == 0
        service.cli(
            "request", "create", "--instance", sample.sop_instance_uid, "--initiate", json=False
        )
        if number < 2:
            kill_each_role(service)

    def are_done() -> bool:
        requests = service.cli("request", "list")["items"]
        return [request["execution_status"] for request in requests] == ["DONE"] * 3

    wait_until(are_done, deadline=300, what="three requests that are DONE")
    values = scraped(service, token)
    assert values["burnish_requests_ended_total", "DONE"] == 3
    spoiled = values.get(("burnish_pieces_ended_total", "outbox", "SPOILED"), 0)
    assert values["burnish_pieces_ended_total", "outbox", "CREATED"] == 3
    assert values[("burnish_registered_media",)] == 3 + spoiled
    assert values["burnish_step_seconds_count", "wait"] == 3


@pytest.fixture
def prometheus(service: Service, token: str, tmp_path: Path) -> Iterator[str]:
    """The address of a Prometheus that scrapes the service with the rules of the documentation."""
    port = free_port()
    token_file = tmp_path / "token"
    token_file.write_text(token, encoding="utf-8")
    target = service.web.removeprefix("http://")  # type: ignore[attr-defined]
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(DOCS / "alerts.yml")],
        "scrape_configs": [
            {
                "job_name": "burnish",
                "authorization": {"credentials_file": str(token_file)},
                "static_configs": [{"targets": [target]}],
            }
        ],
    }
    path = tmp_path / "prometheus.yml"
    path.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    with (tmp_path / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                clients.program("prometheus"),
                f"--config.file={path}",
                f"--storage.tsdb.path={tmp_path / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    yield f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


def ask(address: str, path: str, **parameters: str) -> Any:
    url = f"{address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310
        document = json.loads(answer.read())
    assert document["status"] == "success"
    return document["data"]


def test_prometheus_answers_each_query_of_dashboard_and_rules(
    service: Service, token: str, prometheus: str
) -> None:
    def is_scraped() -> bool:
        try:
            result = ask(prometheus, "query", query='up{job="burnish"}')["result"]
        except OSError:
            return False
        return [sample["value"][1] for sample in result] == ["1"]

    wait_until(is_scraped, deadline=120, what="a scrape by Prometheus")
    sample = instance()
    with storing(service.port) as store:
        assert store(sample) == 0
    clients.echo(service.port, called="WRONG")
    service.cli(
        "request", "create", "--instance", sample.sop_instance_uid, "--initiate", json=False
    )
    wait_until(
        lambda: scraped(service, token).get(("burnish_requests_ended_total", "DONE")) == 1,
        deadline=300,
        what="a request that is DONE",
    )
    service.cli("device", "pause", "outbox", json=False)  # the receiver is told
    dashboard = json.loads((DOCS / "grafana.json").read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(queries) > 15
    for query in queries:
        expression = query.replace("$instance", ".*")
        wait_until(
            lambda expression=expression: (
                bool(  # type: ignore[misc]
                    ask(prometheus, "query", query=expression)["result"]
                )
                or any(never in expression for never in _NEVER)
            ),
            deadline=120,
            what=f"an answer to {expression}",
        )
    groups = ask(prometheus, "rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == (DOCS / "alerts.yml").read_text(encoding="utf-8").count("- alert:")
    wait_until(
        lambda: all(
            rule["health"] == "ok"
            for group in ask(prometheus, "rules")["groups"]
            for rule in group["rules"]
        ),
        deadline=120,
        what="rules that were evaluated",
    )
    firing = [rule["name"] for rule in rules if rule["state"] == "firing"]
    assert not firing
    text = (DOCS.parent / "monitoring.md").read_text(encoding="utf-8")
    described = set(re.findall(r"`(burnish_[a-z_]+)`", text))
    assert len(described) > 15

    def are_all_there() -> bool:
        names = set(ask(prometheus, "label/__name__/values"))
        names |= {name.removesuffix("_bucket") for name in names}
        return not [name for name in described - names if not name.startswith(_NEVER)]

    wait_until(are_all_there, deadline=120, what="every described measure in Prometheus")


def test_grafana_knows_each_field_of_the_dashboard() -> None:
    """What Grafana's own types do not know would be gone after one pass through them."""
    plugins.register_default_plugins()
    document = json.loads((DOCS / "grafana.json").read_text(encoding="utf-8"))
    passed = json.loads(JSONEncoder().encode(Dashboard.from_json(document)))
    assert list(lost(document, passed)) == []
    places = [panel["gridPos"] for panel in document["panels"]]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells)), "panels lie on one another"
    assert max(x for x, _ in cells) < 24
    ids = [panel["id"] for panel in document["panels"]]
    assert len(ids) == len(set(ids))
    variables = {variable["name"] for variable in document["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)\}?", json.dumps(document["panels"])))
    assert used == variables
    for panel in document["panels"]:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        names = [target["refId"] for target in panel["targets"]]
        assert len(names) == len(set(names)), panel["title"]


def lost(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """The paths of what `after` does not have of `before`."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in before.items():
            yield from lost(value, after.get(name), f"{path}/{name}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (value, other) in enumerate(zip(before, after, strict=True)):
            yield from lost(value, other, f"{path}/{number}")
    elif before != after:
        yield path


#: By alert: series that make it fire, at intervals of a minute, and when it must fire.
ALERTS = {
    "BurnishDown": (['up{job="burnish"} 0x5'], "3m"),
    "BurnishDiskNearHighWater": (
        [
            "burnish_disk_free_bytes 13x20",
            "burnish_disk_bytes 100x20",
            "burnish_disk_high_water_ratio 0.9x20",
        ],
        "12m",
    ),
    "BurnishDiskFull": (
        [
            "burnish_disk_free_bytes 9x5",
            "burnish_disk_bytes 100x5",
            "burnish_disk_high_water_ratio 0.9x5",
        ],
        "3m",
    ),
    "BurnishWriterSilent": (['burnish_device_silent{device="d"} 1x5'], "3m"),
    "BurnishSchedulerSilent": (["burnish_scheduler_silent 1x5"], "3m"),
    "BurnishDeviceHeldUp": (
        [
            'burnish_device_works{device="d"} 0x10',
            'burnish_device_paused{device="d"} 0x10',
            'burnish_device_silent{device="d"} 0x10',
        ],
        "7m",
    ),
    "BurnishDevicePaused": (['burnish_device_paused{device="d"} 1x600'], "9h"),
    "BurnishMediaRuined": (
        ['burnish_pieces_ended_total{device="d",state="SPOILED"} 0x10 5x10'],
        "15m",
    ),
    "BurnishRequestsFail": (['burnish_requests_ended_total{status="FAILURE"} 0x5 1x5'], "8m"),
    "BurnishRequestStuck": (
        ['burnish_oldest_request_seconds{status="PENDING"} 14000+60x60'],
        "30m",
    ),
    "BurnishStoreFails": (
        ['burnish_store_responses_total{peer="CT1",status="A700"} 0x5 1x5'],
        "8m",
    ),
    "BurnishAssociationsRejected": (
        ['burnish_association_rejections_total{reason="r"} 0x5 50x5'],
        "8m",
    ),
    "BurnishRowsBehind": (["burnish_bytes_without_rows 2000000000x20"], "12m"),
    "BurnishNoticeReceiverFails": (['burnish_notice_receiver_works{receiver="d"} 0x20'], "17m"),
}


def test_each_alert_fires_when_its_time_has_come(tmp_path: Path) -> None:
    text = (DOCS / "alerts.yml").read_text(encoding="utf-8")
    assert re.findall(r"- alert: (\w+)", text) == list(ALERTS)
    tests = [
        {
            "interval": "1m",
            "input_series": [
                dict(zip(("series", "values"), line.split(" ", 1), strict=True)) for line in series
            ],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}})',
                    "eval_time": "0m",
                    "exp_samples": [],
                },
                {
                    "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}})',
                    "eval_time": at,
                    "exp_samples": [{"labels": "{}", "value": 1}],
                },
            ],
        }
        for name, (series, at) in ALERTS.items()
    ]
    rules = {
        "rule_files": [str(DOCS / "alerts.yml")],
        "evaluation_interval": "1m",
        "tests": tests,
    }
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps(rules), encoding="utf-8")  # JSON is YAML
    done = subprocess.run(
        [clients.program("promtool"), "test", "rules", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_tell_which_notice_receiver_has_failed_for_a_while(tmp_path: Path) -> None:
    alert = {
        "exp_labels": {"severity": "warning", "receiver": "duty", "instance": "one"},
        "exp_annotations": {
            "summary": "Notice receiver duty of one takes no messages",
            "description": "`burnish notify receivers` tells why;"
            " nobody is told there until it works again.",
        },
    }
    works = "burnish_notice_receiver_works"
    name = "BurnishNoticeReceiverFails"
    rules = {
        "rule_files": [str(DOCS / "alerts.yml")],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": f'{works}{{receiver="duty",instance="one"}}', "values": "1x4 0x30"},
                    {"series": f'{works}{{receiver="mail",instance="one"}}', "values": "1x35"},
                ],
                "alert_rule_test": [
                    {"eval_time": "15m", "alertname": name, "exp_alerts": []},
                    {"eval_time": "25m", "alertname": name, "exp_alerts": [alert]},
                ],
            }
        ],
    }
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps(rules), encoding="utf-8")  # JSON is YAML
    done = subprocess.run(
        [clients.program("promtool"), "test", "rules", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_the_rules_and_the_metrics(service: Service, token: str) -> None:
    promtool = clients.program("promtool")
    subprocess.run([promtool, "check", "rules", str(DOCS / "alerts.yml")], check=True)
    request = urllib.request.Request(  # noqa: S310
        f"{service.web}/metrics",  # type: ignore[attr-defined]
        headers={"authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        text = answer.read()
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert done.stderr == b""
    assert done.returncode == 0
