"""The documentation of the interface for programs works, with a running service."""

import os
import re
import subprocess
import sys
from pathlib import Path

from burnish import file_meta
from factories import instance
from flow.conftest import StartBurnish
from waiting import wait_until

_DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "api.md"


def _blocks(language: str) -> list[str]:
    text = _DOCUMENT.read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_documented_calls_and_the_client_work(
    start_burnish: StartBurnish, tmp_path: Path
) -> None:
    burnish = start_burnish(web={"enabled": True, "port": 0})
    address = ""

    def is_told() -> bool:
        nonlocal address
        match = re.search(r'"address": ?"(http[^"]+)"', burnish.log.read_text(encoding="utf-8"))
        address = match[1] if match else ""
        return bool(match)

    wait_until(is_told, deadline=120, what="the address of the page")
    token = burnish.cli("token", "create", "ris", "--role", "operator", json=False).strip()
    sample = instance()
    meta = file_meta.encode(
        sample.sop_class_uid, sample.sop_instance_uid, sample.transfer_syntax_uid
    )
    (tmp_path / "image.dcm").write_bytes(meta + sample.data_set)
    environment = {**os.environ, "TOKEN": token, "BURNISH": address}

    calls = _blocks("sh")[1]
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", calls],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert sample.sop_instance_uid in done.stdout
    assert "FOR THE WARD" in done.stdout or "R000001" in done.stdout
    burnish.run("device", "resume", "outbox")

    (client,) = _blocks("python")
    (tmp_path / "client.py").write_text(client, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "client.py", "1.2.3.1"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert re.match(r"R00000\d DONE", done.stdout), done.stdout
