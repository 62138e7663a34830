"""Random calls of the interface for programs, made from its OpenAPI document by schemathesis.

Each route is called with what its document permits and with what it does not. Every answer must be
one that the document has: status, media type and schema. `make api-cases` makes a long run.
"""

import argparse
import copy
import secrets
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from burnish.values import AccountRole
from burnish.web.api import document
from factories import instance
from web_client import WebGround

#: A stream has no end, and a client without a network reads an answer to its end.
_NOT_CALLED = "/api/v1/events"
_CHECKS = (status_code_conformance, content_type_conformance, response_schema_conformance)
#: Unless the database is away, the only failure of the service itself that an answer may tell.
_OUT_OF_RESOURCES = 503


def call_all(root: Path, cases: int, seed_number: int) -> Counter[int]:
    """Make about so many calls, and count the statuses. Raises AssertionError for a defect."""
    with WebGround(root) as web:
        client = web.token(AccountRole.ADMINISTRATOR)
        headers = {"Authorization": str(client.headers["authorization"])}
        known = _fill(web, client)
        described = copy.deepcopy(document())
        # every call is made with the token
        del described["security"], described["components"]["securitySchemes"]
        schema = schemathesis.openapi.from_dict(described)
        schema.app = web.app
        operations = [result.ok() for result in schema.get_all_operations()]
        operations = [operation for operation in operations if operation.path != _NOT_CALLED]
        statuses: Counter[int] = Counter()
        for number, operation in enumerate(operations):
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

                @seed(seed_number + number)
                @settings(
                    max_examples=max(1, cases // (2 * len(operations))),
                    deadline=None,
                    database=None,
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                )
                @given(case=operation.as_strategy(generation_mode=mode))
                def call(case: Case) -> None:
                    # every other call is about something that is there
                    if statuses.total() % 2:
                        _name_what_is_there(case, known)
                    _check(case, headers, statuses, seed_number)

                try:
                    call()
                except Unsatisfiable:
                    continue  # nothing that is wrong can be sent to this route
    return statuses


def _fill(web: WebGround, client: Any) -> Mapping[str, str]:
    """An instance, requests and a device to call; their names by path and parameter."""
    sample = instance()
    web.store(sample)
    body = {"instances": [sample.sop_instance_uid], "initiate": False}
    assert client.post("/api/v1/requests", json=body).status_code == 201
    return {
        "/api/v1/requests/{name}": "R000001",
        "/api/v1/instances/{sop_instance_uid}": sample.sop_instance_uid,
        "/api/v1/devices/{name}": web.settings.devices[0].name,
    }


def _name_what_is_there(case: Case, known: Mapping[str, str]) -> None:
    if case.method == "DELETE":
        return
    for beginning, name in known.items():
        if case.operation.path.startswith(beginning):
            parameter = beginning.rpartition("{")[2].removesuffix("}")
            case.path_parameters[parameter] = name


def _check(
    case: Case, headers: Mapping[str, str], statuses: Counter[int], seed_number: int
) -> None:
    answer = case.call(headers=dict(headers))
    statuses[answer.status_code] += 1
    what = f"seed {seed_number}: {case.as_curl_command()}\n{answer.status_code} {answer.text}"
    assert answer.status_code < 500 or answer.status_code == _OUT_OF_RESOURCES, what
    for check in _CHECKS:
        try:
            case.validate_response(answer, checks=[check])
        except AssertionError as failure:
            raise AssertionError(f"{failure}\n{what}") from None
        except BaseExceptionGroup as failures:
            texts = "\n".join(str(failure) for failure in failures.exceptions)
            raise AssertionError(f"{texts}\n{what}") from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 31))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        statuses = call_all(Path(root), arguments.cases, arguments.seed)
    counts = ", ".join(f"{number} of {status}" for status, number in sorted(statuses.items()))
    print(f"seed {arguments.seed}: {statuses.total()} calls: {counts}")  # noqa: T201


if __name__ == "__main__":
    main()
