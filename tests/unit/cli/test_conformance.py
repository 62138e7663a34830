"""`burnish conformance`: the Conformance Statement says what the tables say."""

import re

from burnish.application_profiles import OFFERED, PROFILES
from burnish.directory_records import KEYS
from burnish.media import MEDIA
from burnish.scp.negotiation import STORAGE_SOP_CLASSES, STORAGE_TRANSFER_SYNTAXES
from burnish.vocabulary import FailureReason
from unit.cli.conftest import Run


def test_it_names_all_there_is(run: Run) -> None:
    done = run("conformance")
    assert done.code == 0
    words = set(re.findall(r"[^|;,\s]+", done.out))
    assert words >= {*PROFILES, *MEDIA, *STORAGE_SOP_CLASSES, *STORAGE_TRANSFER_SYNTAXES}
    assert words >= {f"{reason:04X}H" for reason in FailureReason}
    assert all(f"| {record} |" in done.out for record in KEYS)


def test_what_is_written_and_what_is_not_are_told_apart(run: Run) -> None:
    text = run("conformance").out
    written = text[text.index("## Application Profiles that are written") :]
    written = written[: written.index("## Application Profiles that are verified only")]
    assert set(re.findall(r"^\| (STD-\S+)", written, re.MULTILINE)) == set(OFFERED)


def test_it_is_one_table_after_another(run: Run) -> None:
    text = run("conformance").out
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = block.splitlines()
        assert re.fullmatch(r"\|( --- \|)+", rows[1])
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {rows[1].count("|")}
