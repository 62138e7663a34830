"""What must be true of the files for people on any medium: names, links, valid and inert pages."""

import os
import re
import subprocess
from pathlib import Path

_NAME = re.compile(r"[A-Z0-9_]{1,8}(\.[A-Z0-9_]{1,3})?")
_LINK = re.compile(r'(?:href|src)="([^"]*)"')
_ACTIVE = re.compile(
    r"<script|<object|<iframe|javascript:|\son[a-z]+=|@import|url\(", re.IGNORECASE
)


def check_content(root: Path) -> int:
    """Asserts it of an extracted medium; returns the number of its pages."""
    check_names(root)
    pages = sorted([root / "INDEX.HTM", *(root / "IHE_PDI").rglob("*.HTM")])
    assert pages
    check_valid(pages)
    for page in pages:
        check_links(page, root)
        assert not _ACTIVE.search(page.read_text("utf-8")), page
    style = (root / "IHE_PDI" / "STYLE.CSS").read_text("utf-8")
    assert not _ACTIVE.search(style)
    return len(pages)


def check_names(root: Path) -> None:
    """Names of 8.3 in capital letters, and only web files in IHE_PDI (IHE RAD-47)."""
    for path in root.rglob("*"):
        assert _NAME.fullmatch(path.name), path
        assert len(path.relative_to(root).parts) <= 7, path
    kinds = {path.suffix for path in (root / "IHE_PDI").rglob("*") if path.is_file()}
    assert kinds <= {".HTM", ".JPG", ".CSS"}


def check_valid(pages: list[Path]) -> None:
    """XHTML 1.0 Strict, by its DTD."""
    environment = os.environ | {"XML_CATALOG_FILES": "/etc/xml/catalog"}
    for start in range(0, len(pages), 50):
        subprocess.run(
            ["xmllint", "--noout", "--nonet", "--valid", *pages[start : start + 50]],
            check=True,
            env=environment,
            timeout=120,
        )


def check_links(page: Path, root: Path) -> None:
    """Every link leads to a file of the medium, and to a place in it."""
    for link in _LINK.findall(page.read_text("utf-8")):
        path, _, place = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(root.resolve()), (page, link)
        # a file system may not mind the case of names, but not all are like that
        assert target.name in os.listdir(target.parent), (page, link)
        if place:
            assert f'id="{place}"' in target.read_text("utf-8"), (page, link)
