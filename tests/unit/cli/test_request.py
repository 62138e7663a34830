"""`burnish request` and `burnish instance` with a database and without a service."""

import io
import shutil
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update

from burnish import roles, settings
from burnish.db.tables import Instance, MediaCreationRequest
from burnish.instance_header.header import index_file
from unit.cli.conftest import Done, Installation, Run


@pytest.fixture
def burnish(installation: Installation, run: Run) -> Run:
    def command(*arguments: object) -> Done:
        return run(*arguments, "--config", installation.config)

    return command


def study_of(installation: Installation) -> str:
    return max(installation.studies, key=lambda uid: len(installation.studies[uid]))


def create_request(burnish: Run, installation: Installation, *options: object) -> dict[str, object]:
    done = burnish("request", "create", "--study", study_of(installation), *options, "--json")
    assert done.code == 0, done.err
    line: dict[str, object] = done.json
    return line


def test_a_request_for_a_study_references_all_its_instances(
    burnish: Run, installation: Installation
) -> None:
    line = create_request(burnish, installation)
    assert line["execution_status"] == "IDLE"
    assert line["origin"] == "administrator"
    assert line["instances"] == len(installation.studies[study_of(installation)])


def test_a_request_says_for_whom_the_media_are(burnish: Run, installation: Installation) -> None:
    create_request(burnish, installation, "--content", "FOR_PHYSICIAN", "--no-viewer")
    configured = settings.read_settings(installation.config)
    database = roles.open_database(configured)
    with database.reading() as session:
        request = session.scalars(select(MediaCreationRequest)).one()
        assert request.include_non_dicom_objects == "FOR_PHYSICIAN"
        assert request.include_display_application == "NO"
    database.close()


def test_create_prints_only_the_name_on_standard_output(
    burnish: Run, installation: Installation
) -> None:
    done = burnish("request", "create", "--study", study_of(installation))
    assert done.out == "R000001\n"


def test_a_request_can_name_studies_and_instances(burnish: Run, installation: Installation) -> None:
    first, second, third, *_ = installation.studies
    uid = installation.studies[third][0]
    options = ("--study", first, "--study", second, "--instance", uid, "--several-patients")
    line = burnish("request", "create", *options, "--json").json
    expected = len(installation.studies[first]) + len(installation.studies[second]) + 1
    assert line["instances"] == expected


def two_patients(installation: Installation) -> tuple[str, ...]:
    """Options that name all studies; they are of two patients."""
    return tuple(word for uid in installation.studies for word in ("--study", uid))


def test_media_of_several_patients_need_an_option(burnish: Run, installation: Installation) -> None:
    study = two_patients(installation)
    refused = burnish("request", "create", *study, "--initiate")
    assert refused.code == 2
    assert "2 patients" in refused.err
    assert "--several-patients" in refused.err
    assert burnish("request", "list", "--json").json["items"] == []
    assert burnish("request", "create", *study, "--several-patients").code == 0


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1)])
def test_a_person_is_asked_before_several_patients_share_media(
    burnish: Run,
    installation: Installation,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    code: int,
) -> None:
    terminal = io.StringIO(answer)
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", terminal)
    done = burnish("request", "create", *two_patients(installation))
    assert "2 patients" in done.err
    assert done.code == code
    assert len(burnish("request", "list", "--json").json["items"]) == (code == 0)


def test_initiate_accepts_copies_and_priority(burnish: Run, installation: Installation) -> None:
    options = ("--initiate", "--copies", 2, "--priority", "HIGH")
    line = create_request(burnish, installation, *options)
    assert line["execution_status"] == "PENDING"
    assert line["number_of_copies"] == 2
    assert line["request_priority"] == "HIGH"


@pytest.mark.parametrize("name", ["R000001", "r1", "1", "{uid}"])
def test_a_request_can_be_named_in_several_ways(
    burnish: Run, installation: Installation, name: str
) -> None:
    uid = create_request(burnish, installation)["sop_instance_uid"]
    shown = burnish("request", "show", name.format(uid=uid), "--json").json
    assert shown["sop_instance_uid"] == uid
    assert shown["pieces"] == shown["failures"] == []
    assert [event["event"] for event in shown["events"]] == ["CREATED"]


def test_a_cancelled_request_cannot_be_changed(burnish: Run, installation: Installation) -> None:
    create_request(burnish, installation)
    assert burnish("request", "initiate", 1, "--json").json["execution_status"] == "PENDING"
    assert burnish("request", "initiate", 1).code == 6
    assert burnish("request", "cancel", 1, "--json").json["execution_status"] == "DELETED"
    assert burnish("request", "cancel", 1).code == 4
    assert burnish("request", "list", "--json").json["items"] == []
    (line,) = burnish("request", "list", "--status", "DELETED", "--json").json["items"]
    assert line["short_id"] == "R000001"
    done = burnish("request", "watch", 1)
    assert done.code == 21
    assert "PENDING -> DELETED" in done.out


def test_only_a_failed_request_can_be_retried(burnish: Run, installation: Installation) -> None:
    create_request(burnish, installation)
    assert burnish("request", "retry", 1).code == 6


def test_the_list_is_newest_first_and_limited(burnish: Run, installation: Installation) -> None:
    for _ in range(3):
        create_request(burnish, installation)
    lines = burnish("request", "list", "--limit", 2, "--json").json["items"]
    assert [line["short_id"] for line in lines] == ["R000003", "R000002"]
    assert burnish("request", "list", "--status", "DONE", "--json").json["items"] == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("create",), 2),
        (("create", "--study", "1.2.3", "--copies", "2"), 2),
        (("create", "--study", "1.2.3", "--profile", "STD-NONE"), 2),
        (("create", "--study", "1.2.3"), 4),
        (("create", "--instance", "1.2.3"), 4),
        (("show", "R000099"), 4),
        (("watch", "1.2.3"), 4),
        (("initiate", "99"), 4),
        (("cancel", "99"), 4),
        (("retry", "99"), 4),
        (("list", "--limit", "0"), 2),
        (("list", "--status", "GONE"), 2),
    ],
)
def test_impossible_commands_print_an_error_and_an_exit_code(
    burnish: Run, arguments: tuple[str, ...], code: int
) -> None:
    done = burnish("request", *arguments)
    assert done.code == code
    assert done.out == ""
    assert done.err


def test_values_against_the_standard_are_rejected(burnish: Run, installation: Installation) -> None:
    study = study_of(installation)
    done = burnish("request", "create", "--study", study, "--file-set-id", "not ok")
    assert done.code == 3
    done = burnish("request", "create", "--study", study, "--initiate", "--copies", 1000)
    assert done.code == 3
    assert burnish("request", "list", "--json").json["items"] == []


def test_instances_can_be_listed_by_study(burnish: Run, installation: Installation) -> None:
    study = study_of(installation)
    lines = burnish("instance", "list", "--study", study, "--json").json["items"]
    assert {line["sop_instance_uid"] for line in lines} == set(installation.studies[study])
    assert len(burnish("instance", "list", "--limit", 3, "--json").json["items"]) == 3


def replace_content(installation: Installation, uid: str) -> None:
    """A corrected name for an instance, received from ARCHIVE."""
    loaded = settings.read_settings(installation.config)
    database = roles.open_database(loaded)
    with database.connection() as connection:
        of_instance = Instance.sop_instance_uid == uid
        row = dict(connection.execute(select(Instance.__table__).where(of_instance)).one()._mapping)
        connection.execute(
            update(Instance).where(of_instance).values(replaced_at=row["received_at"])
        )
        del row["id"]
        row |= {"spool_key": "newer", "calling_ae_title": "ARCHIVE", "patient_name": "Right^Name"}
        connection.execute(insert(Instance).values(row))
    database.close()


def test_an_instance_is_shown_with_what_it_replaced(
    burnish: Run, installation: Installation
) -> None:
    uid = installation.studies[study_of(installation)][0]
    assert "replaced content from" not in burnish("instance", "list").out
    replace_content(installation, uid)
    shown = burnish("instance", "show", uid)
    assert "by ARCHIVE:  Patient's Name" in shown.out
    (content,) = burnish("instance", "show", uid, "--json").json["instance"]["replaces"]
    assert content["calling_ae_title"] == "MODALITY"
    assert content["replaced_by"] == "ARCHIVE"
    assert "MODALITY: Patient's Name" in burnish("instance", "list").out
    assert burnish("instance", "show", "1.2.3").code == 4


def test_remove_asks_first(
    burnish: Run, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = study_of(installation)
    count = len(installation.studies[study])
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    asked = burnish("instance", "remove", "--study", study)
    assert asked.code == 1
    assert f"Remove {count} instances of 1 study and 1 patient" in asked.err
    assert len(burnish("instance", "list", "--study", study, "--json").json["items"]) == count
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    done = burnish("instance", "remove", "--study", study)
    assert done.code == 0
    assert f"removed {count} instances" in done.out
    assert burnish("instance", "list", "--study", study, "--json").json["items"] == []
    assert burnish("instance", "remove", "--study", study, "--yes").code == 4


def test_remove_refuses_what_an_open_request_needs(
    burnish: Run, installation: Installation
) -> None:
    create_request(burnish, installation)
    study = study_of(installation)
    refused = burnish("instance", "remove", "--study", study, "--yes")
    assert refused.code == 5
    assert "R000001" in refused.err
    assert "--even-if-needed" in refused.err
    assert burnish("instance", "remove", "--study", study, "--yes", "--even-if-needed").code == 0


def test_remove_needs_to_be_told_what(burnish: Run) -> None:
    assert burnish("instance", "remove", "--yes").code == 2


def test_listings_contain_no_patient_data_if_asked(
    burnish: Run, installation: Installation
) -> None:
    create_request(burnish, installation, "--initiate")
    uid = installation.studies[study_of(installation)][0]
    replace_content(installation, uid)
    for command in (
        ("instance", "list"),
        ("instance", "list", "--json"),
        ("request", "list"),
        ("request", "list", "--json"),
        ("request", "show", "1"),
        ("request", "show", "1", "--json"),
        ("instance", "show", uid),
        ("instance", "show", uid, "--json"),
    ):
        done = burnish(*command, "--no-patients")
        assert done.code == 0
        assert done.out
        assert not [value for value in installation.patients if value and value in done.out]


def test_a_request_can_be_held_and_released(burnish: Run, installation: Installation) -> None:
    create_request(burnish, installation, "--device", "outbox")
    assert burnish("request", "hold", "R000001").out == "R000001\n"
    (line,) = burnish("request", "list", "--json").json["items"]
    assert line["held_at"]
    assert line["device"] == "outbox"
    assert burnish("request", "list").out.split()[-1] == "held"
    assert burnish("request", "release", "1", "--json").json["held_at"] is None
    assert burnish("request", "release", "1").code == 6
    assert burnish("request", "create", "--study", "1.2", "--device", "robot").code == 4


def test_a_list_of_requests_tells_state_reason_and_remedy(
    burnish: Run, installation: Installation
) -> None:
    assert burnish("request", "list").err == "no requests\n"
    create_request(burnish, installation)
    text = burnish("request", "list").out
    assert text.split()[:4] == ["R000001", "IDLE", "not", "started"]
    assert "It was created, but nobody has started it." in text
    assert "To do: burnish request initiate R000001" in text


def test_recipients_of_secure_media_are_checked(
    burnish: Run, installation: Installation, tmp_path: Path
) -> None:
    (tmp_path / "words").write_text("correct horse\n")
    options = ("--password-file", tmp_path / "words")
    assert create_request(burnish, installation, *options, "--profile", "STD-GEN-SEC-CD")
    study = ("request", "create", "--study", study_of(installation))
    assert burnish(*study, *options).code == 2
    assert burnish(*study, *options, "--profile", "STD-GEN-CD").code == 2
    (tmp_path / "words").write_text("\n")
    assert burnish(*study, *options, "--profile", "STD-GEN-SEC-CD").code == 11


def test_a_correction_is_shown_asked_and_made(burnish: Run, installation: Installation) -> None:
    loaded = settings.read_settings(installation.config)
    spool = roles.open_spool(loaded)
    for path in installation.instances:
        target = spool.path(index_file(path).header.sop_instance_uid)
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    database = roles.open_database(loaded)
    study = study_of(installation)
    count = len(installation.studies[study])
    options = ("instance", "correct", "--study", study, "--patient-id", "RIGHT-1")
    assert burnish(*options).code == 1, "nobody answers the question"
    with database.reading() as session:
        assert "RIGHT-1" not in session.scalars(select(Instance.patient_id)).all()
    database.close()
    done = burnish(*options, "--yes")
    assert done.code == 0, done.err
    assert f"-> RIGHT-1, {count} instances" in done.out
    assert f"corrected {count} instances" in done.out
    again = burnish(*options, "--yes")
    assert f"{count} instances right already" in again.out
    shown = burnish("instance", "show", installation.studies[study][0])
    assert "Patient ID" in shown.out


def test_a_correction_needs_instances_and_values(burnish: Run, installation: Installation) -> None:
    assert burnish("instance", "correct", "--patient-id", "A").code == 2
    assert burnish("instance", "correct", "--study", study_of(installation)).code == 2
    done = burnish("instance", "correct", "--study", study_of(installation), "--sex", "X", "--yes")
    assert done.code == 3
    assert "Patient's Sex (0010,0040)" in done.err
