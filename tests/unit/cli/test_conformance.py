"""`burnish conformance`: the document in each form, as configured."""

from pathlib import Path

from burnish.conformance.editions import Edition
from burnish.conformance.html import write_html
from burnish.conformance.markdown import write_markdown
from burnish.conformance.statement import make_statement
from burnish.settings import Settings
from unit.cli.conftest import Run


def test_it_prints_the_statement_in_markdown(run: Run) -> None:
    done = run("conformance")
    assert done.code == 0
    assert done.out == write_markdown(make_statement(Settings()))


def test_it_prints_html_of_the_other_edition(run: Run) -> None:
    done = run("conformance", "--format", "html", "--edition", "2026")
    assert done.code == 0
    assert done.out == write_html(make_statement(Settings(), Edition.OF_2026))


def test_it_writes_a_pdf_file(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "statement.pdf"
    done = run("conformance", "--format", "pdf", "--output", str(target))
    assert done.code == 0
    assert target.read_bytes().startswith(b"%PDF-")


def test_it_tells_the_configuration_that_is_named(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "burnish.toml"
    config.write_text('[dicom]\nae_title = "DISCS"\n', encoding="utf-8")
    done = run("conformance", "--config", str(config))
    assert done.code == 0
    assert "- Application Entity title: DISCS" in done.out
