"""The command line as people at the desk use it: patients, filters, search, status, changes."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from burnish import settings
from burnish.cli import completion, output
from burnish.db.session import Database
from burnish.db.tables import MediaCreationRequest
from burnish.vocabulary import ExecutionStatus
from unit.cli.conftest import Done, Installation, Run


@pytest.fixture
def burnish(installation: Installation, run: Run) -> Run:
    def command(*arguments: object) -> Done:
        return run(*arguments, "--config", installation.config)

    return command


def patient_of(path: Path) -> tuple[str, str]:
    data_set = dcmread(path, stop_before_pixels=True)
    return str(data_set.PatientID), str(data_set.PatientName)


def family_name(installation: Installation) -> str:
    return patient_of(installation.instances[0])[1].split("^")[0]


def create(burnish: Run, installation: Installation, *options: object) -> str:
    patient_id, _ = patient_of(installation.instances[0])
    done = burnish("request", "create", "--patient-id", patient_id, *options)
    assert done.code == 0, done.err
    return done.out.strip()


def change(installation: Installation, name: str, **columns: Any) -> None:
    database = Database(settings.read_settings(installation.config).database_url)
    with database.writing() as session:
        request = session.get_one(MediaCreationRequest, int(name[1:]))
        for column, value in columns.items():
            setattr(request, column, value)
    database.close()


def test_a_request_for_a_patient_id_names_the_patient(
    burnish: Run, installation: Installation
) -> None:
    patient_id, _ = patient_of(installation.instances[0])
    name = create(burnish, installation)
    (line,) = burnish("request", "list", "--json").json["items"]
    assert [patient["patient_id"] for patient in line["patients"]] == [patient_id]
    assert patient_id in burnish("request", "list").out
    shown = burnish("request", "show", name)
    assert f"ID {patient_id}" in shown.out
    assert re.search(r"command line \(.+\)", shown.out)


def test_lists_break_no_name_or_number_in_80_columns(
    burnish: Run, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    name = create(burnish, installation, "--initiate")
    instances = burnish("instance", "list", "--json").json["items"]
    text = burnish("instance", "list").out
    for line in instances:
        assert f"instance {line['sop_instance_uid']}\n" in text
        assert f"study {line['study_instance_uid']}\n" in text
    uid = burnish("request", "show", name, "--json").json["sop_instance_uid"]
    shown = burnish("request", "show", name).out
    assert uid in shown
    for printed in (text, shown, burnish("request", "list").out, burnish("search", name).out):
        assert max(len(line) for line in printed.splitlines()) <= 80


def test_times_are_local_with_their_offset(burnish: Run, installation: Installation) -> None:
    create(burnish, installation)
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d", burnish("request", "list").out)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (("--patient", "{name}"), 1),
        (("--patient", "{id}"), 1),
        (("--patient", "nobody"), 0),
        (("--study-date", "1900-01-01..2099-12-31"), 1),
        (("--study-date", "1900-01-01"), 0),
        (("--accession", "no such"), 0),
        (("--since", "1h"), 1),
        (("--since", "2099-01-01"), 0),
        (("--group", "not started"), 1),
        (("--group", "failed"), 0),
        (("--device", "nobody"), 0),
        (("--before", "R000002"), 1),
        (("--before", "R000001"), 0),
    ],
)
def test_requests_are_filtered(
    burnish: Run, installation: Installation, options: tuple[str, ...], count: int
) -> None:
    create(burnish, installation)
    patient_id, _ = patient_of(installation.instances[0])
    arguments = [option.format(name=family_name(installation), id=patient_id) for option in options]
    assert len(burnish("request", "list", *arguments, "--json").json["items"]) == count


def test_an_empty_patient_id_does_not_select_everybody(
    burnish: Run, installation: Installation
) -> None:
    assert installation
    for option in ("--patient-id", "--accession", "--series"):
        done = burnish("request", "create", option, "", "--several-patients")
        assert done.code == 3, option
        assert "selects nothing" in done.err


@pytest.mark.parametrize(
    "options", [("--study-date", "soon"), ("--since", "soon"), ("--since", "5y")]
)
def test_a_wrong_date_is_refused(
    burnish: Run, installation: Installation, options: tuple[str, ...]
) -> None:
    assert installation
    assert burnish("request", "list", *options).code in (2, 3)


def test_instances_are_filtered_by_patient(burnish: Run, installation: Installation) -> None:
    patient_id, _ = patient_of(installation.instances[0])
    lines = burnish("instance", "list", "--patient", patient_id, "--json").json["items"]
    assert {line["patient_id"] for line in lines} == {patient_id}
    assert burnish("instance", "list", "--patient", "nobody", "--json").json["items"] == []


def test_a_search_finds_the_patient_and_the_request(
    burnish: Run, installation: Installation
) -> None:
    patient_id, _ = patient_of(installation.instances[0])
    name = create(burnish, installation)
    for text in (family_name(installation).casefold(), patient_id, name):
        shown = burnish("search", text)
        assert shown.code == 0, shown.err
        assert name in shown.out
    result = burnish("search", patient_id, "--json").json
    assert result["studies"][0]["patient_id"] == patient_id
    assert result["requests"][0]["request"]["short_id"] == name
    hidden = burnish("search", patient_id, "--no-patients", "--json").json
    assert hidden["studies"][0]["patient_id"] is None
    assert patient_id not in burnish("search", name, "--no-patients").out
    assert burnish("search", "xyzzy").code == 4


def test_arrivals_are_the_studies_that_nobody_has_requested(
    burnish: Run, installation: Installation
) -> None:
    patient_id, _ = patient_of(installation.instances[0])
    before = burnish("arrivals", "--json").json["items"]
    assert patient_id in [line["study"]["patient_id"] for line in before]
    assert f"ID {patient_id}" in burnish("arrivals").out
    assert patient_id not in burnish("arrivals", "--no-patients").out
    create(burnish, installation)
    after = burnish("arrivals", "--json").json["items"]
    assert patient_id not in [line["study"]["patient_id"] for line in after]


def test_a_request_for_files_receives_them_first(
    burnish: Run, installation: Installation, tmp_path: Path
) -> None:
    folder = tmp_path / "stick"
    folder.mkdir()
    data_set = dcmread(installation.instances[0])
    data_set.SOPInstanceUID = data_set.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.5.6"
    data_set.save_as(folder / "image")
    (folder / "notes.txt").write_text("no DICOM file")
    done = burnish("request", "create", "--files", folder, "--json")
    assert done.code == 0, done.err
    assert done.json["instances"] == 1
    assert "notes.txt is left out" in done.err
    assert burnish("instance", "show", "1.2.3.4.5.6").code == 0
    assert burnish("request", "create", "--files", tmp_path / "nothing").code == 4


def test_labels_bar_code_and_disposition_are_given_and_changed(
    burnish: Run, installation: Installation
) -> None:
    options = ("--label-text", "for Dr. Roe", "--label-style", "PLAIN", "--barcode", "4711")
    name = create(burnish, installation, *options, "--symbology", "CODE128", "--disposition", "Roe")
    shown = burnish("request", "show", name, "--json").json
    assert shown["label_text"] == "for Dr. Roe"
    assert shown["barcode_symbology"] == "CODE128"
    assert shown["media_disposition"] == "Roe"
    assert burnish("request", "relabel", name, "--text", "for Dr. Doe").code == 0
    assert burnish("request", "show", name, "--json").json["label_text"] == "for Dr. Doe"


def test_a_label_style_and_a_symbology_are_checked_alike_at_creation_and_later(
    burnish: Run, installation: Installation
) -> None:
    name = create(burnish, installation)
    create_anew = ("request", "create", "--study", next(iter(installation.studies)))
    for option, others in (("style", "--label-style"), ("symbology", "--symbology")):
        changed = burnish("request", "relabel", name, f"--{option}", "lower")
        created = burnish(*create_anew, others, "lower")
        assert (changed.code, created.code) == (3, 3)
        assert "is not at most 16 of A-Z, 0-9, _ and spaces" in created.err
        assert created.err == changed.err
    assert len(burnish("request", "list", "--json").json["items"]) == 1


def test_media_are_made_again_by_a_new_request(burnish: Run, installation: Installation) -> None:
    name = create(burnish, installation)
    change(installation, name, execution_status=ExecutionStatus.DONE)
    again = burnish("request", "repeat", name, "--copies", 2, "--json").json
    assert (again["short_id"], again["number_of_copies"]) == ("R000002", 2)
    copies = burnish("request", "copies", name, 3)
    assert copies.out == "R000003\n"
    assert burnish("request", "show", "R000003", "--json").json["number_of_copies"] == 3


def test_priority_and_device_of_a_request_are_changed(
    burnish: Run, installation: Installation
) -> None:
    name = create(burnish, installation)
    assert burnish("request", "priority", name, "HIGH", "--json").json["request_priority"] == "HIGH"
    assert burnish("request", "move", name, "outbox", "--json").json["device"] == "outbox"
    assert burnish("request", "move", name, "nobody").code == 4
    assert burnish("request", "split", name).code == 6


def test_an_action_on_many_asks_first_and_says_how_to_undo_it(
    burnish: Run, installation: Installation
) -> None:
    for _ in range(3):
        create(burnish, installation)
    asked = burnish("request", "bulk", "hold", "--group", "not started")
    assert asked.code == 1
    assert "hold 3 requests of 3 that match" in asked.err
    done = burnish("request", "bulk", "hold", "--group", "not started", "--yes")
    assert done.out.split() == ["R000001", "R000002", "R000003"]
    undo = re.search(r"burnish (request bulk release --yes R000001 R000002 R000003)", done.err)
    assert undo, done.err
    assert burnish(*undo.group(1).split()).code == 0
    lines = burnish("request", "list", "--json").json["items"]
    assert [line["held_at"] for line in lines] == [None] * 3
    assert burnish("request", "bulk", "hold", "--yes").code == 2


def test_status_is_an_exit_code_for_monitors(
    burnish: Run, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert burnish("status").code == 26
    monkeypatch.setattr("burnish.service_lock.is_serving", lambda _root: True)
    well = burnish("status")
    assert well.code == 0, well.out
    assert well.out.endswith("all is well\n")
    name = create(burnish, installation, "--initiate")
    assert burnish("request", "hold", name).code == 0
    held = burnish("status", "--json")
    assert held.code == 25
    assert held.json["level"] == "needs attention"
    assert [item["text"] for item in held.json["findings"] if item["level"] != "well"] == [
        f"1 request: {name}"
    ]


def test_watching_all_requests_tells_state_and_remedy(
    burnish: Run, installation: Installation
) -> None:
    assert burnish("request", "watch", "--until-idle").code == 0
    name = create(burnish, installation, "--initiate")
    change(installation, name, execution_status=ExecutionStatus.DONE)
    followed = burnish("request", "watch", name)
    assert followed.code == 0
    assert "All pieces were created" in followed.out


def test_a_shell_completes_names_of_requests_and_devices(
    burnish: Run, installation: Installation
) -> None:
    create(burnish, installation)

    class Context:
        params = {"config": installation.config}  # noqa: RUF012
        parent = None

    context: Any = Context()
    assert completion.request_names(context, "r0") == [("R000001", "not started")]
    assert completion.device_names(context, "out") == ["outbox"]
    Context.params = {"config": Path("/nowhere")}
    assert completion.request_names(context, "") == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.6, "1 min"), (3725, "1 h 2 min"), (200_000, "2 d 7 h")]
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert output.format_seconds(seconds) == text


@pytest.mark.usefixtures("installation")
def test_a_user_gets_another_role(burnish: Run) -> None:
    burnish("user", "add", "anna", "--role", "desk")
    changed = burnish("user", "role", "anna", "operator")
    assert (changed.code, changed.out) == (0, "user anna is operator now\n")
    listed = burnish("user", "list", "--json").json["items"]
    assert [(user["name"], user["role"]) for user in listed] == [("anna", "operator")]
    told = burnish("user", "role", "anna", "viewer", "--json").json
    assert told == {"name": "anna", "role": "viewer"}
    assert burnish("user", "role", "nobody", "desk").code == 4
    assert burnish("user", "role", "anna", "queen").code == 2
