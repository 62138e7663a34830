"""`burnish conformance`: the document agrees with the tables in the code."""

import re

from burnish.application_profiles import OFFERED, PROFILES
from burnish.directory_records import KEYS
from burnish.media import MEDIA
from burnish.scp.negotiation import STORAGE_SOP_CLASSES, STORAGE_TRANSFER_SYNTAXES
from burnish.vocabulary import FailureReason
from unit.cli.conftest import Run


def test_it_lists_every_profile_medium_sop_class_and_transfer_syntax(run: Run) -> None:
    done = run("conformance")
    assert done.code == 0
    words = set(re.findall(r"[^|;,\s]+", done.out))
    assert words >= {*PROFILES, *MEDIA, *STORAGE_SOP_CLASSES, *STORAGE_TRANSFER_SYNTAXES}
    assert words >= {f"{reason:04X}H" for reason in FailureReason}
    assert all(f"| {record} |" in done.out for record in KEYS)


def test_written_and_verified_only_profiles_have_their_own_tables(run: Run) -> None:
    text = run("conformance").out
    written = text[text.index("## Application Profiles that are written") :]
    written = written[: written.index("## Application Profiles that are verified only")]
    assert set(re.findall(r"^\| (STD-\S+)", written, re.MULTILINE)) == set(OFFERED)


def test_every_table_is_valid_markdown(run: Run) -> None:
    text = run("conformance").out
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = block.splitlines()
        assert re.fullmatch(r"\|( --- \|)+", rows[1])
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {rows[1].count("|")}
