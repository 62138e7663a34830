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
    burnish = start_burnish(web={"enabled": True, "port": 0}, content={"pages": True})
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
    administrator = burnish.cli(
        "token", "create", "monitor", "--role", "administrator", json=False
    ).strip()
    environment = {
        **os.environ,
        "TOKEN": token,
        "ADMINISTRATOR": administrator,
        "BURNISH": address,
    }

    def run(calls: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", calls],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    making_tokens, first, *others = _blocks("sh")
    assert "burnish token create" in making_tokens
    printed = run(first)
    assert sample.sop_instance_uid in printed
    assert "FOR THE WARD" in printed
    burnish.run("device", "resume", "outbox")

    def is_done() -> bool:
        return bool(burnish.cli("request", "show", "R000001")["execution_status"] == "DONE")

    wait_until(is_done, deadline=300, what="the disc")
    for calls in others:
        run(calls)
    assert (tmp_path / "label.pdf").read_bytes().startswith(b"%PDF")
    assert "<html" in (tmp_path / "front.html").read_text(encoding="utf-8")
    status = run(
        'curl -sS -o kept -w "%{http_code}" -H "Authorization: Bearer $TOKEN"'
        ' --etag-compare etag "$BURNISH/api/v1/requests?group=failed"'
    )
    assert status == "304"

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
