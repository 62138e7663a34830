"""Messages to real receivers: a web server, an SMTP server, a command."""

import json
import os
import ssl
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from burnish import notify
from burnish.errors import BurnishError, InvalidSettings, OperatorError
from burnish.notify import MessageItem, OutgoingMessage
from burnish.settings import NoticeReceiverSettings
from burnish.vocabulary import NoticeCause, NoticePhase
from certificates import Identity, identity
from message_receivers import PASSWORD, SECRET, USER, mail_receiver, web_receiver

BEGAN = datetime(2026, 11, 28, 6, 0, tzinfo=UTC)
ITEM = MessageItem(
    notice=7,
    cause=NoticeCause.NEEDS_PERSON,
    phase=NoticePhase.BEGUN,
    subject="R000042",
    request="R000042",
    device="",
    began_at=BEGAN,
    ended_at=None,
    info="CHECK_MCD_OP",
    reason="device drive: there is no blank",
    remedy="Put in a blank CD.",
    outcome="",
    url="https://discs.example.org/requests/R000042",
    patients=(("Müller^Jörg=山田^太郎", "P1"),),
)
MESSAGE = OutgoingMessage("3d0b8932-0000-4000-8000-000000000001", "BURNISH", "en", (ITEM,))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    folder = tmp_path_factory.mktemp("authority")
    return identity(folder, "authority", authority=True, elliptic=True)


@pytest.fixture(scope="module")
def context(authority: Identity) -> ssl.SSLContext:
    """The context of a server on 127.0.0.1 with a certificate of the authority."""
    return server_context(authority, "127.0.0.1")


def server_context(authority: Identity, address: str) -> ssl.SSLContext:
    folder = authority.certificate.parent
    server = identity(folder, f"server-{address}", issuer=authority, elliptic=True, address=address)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certificate, server.key)
    return context


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\nnot the secret\n")
    return path


def webhook(url: str, secret_file: Path, **more: Any) -> NoticeReceiverSettings:
    return NoticeReceiverSettings(
        name="hook", kind="webhook", url=url, secret_file=secret_file, **more
    )


def command(*arguments: str, **more: Any) -> NoticeReceiverSettings:
    return NoticeReceiverSettings(name="pager", kind="command", command=arguments, **more)


# --- webhook ---


def test_a_webhook_gets_a_signed_message_with_what_people_need(secret_file: Path) -> None:
    with web_receiver() as web:
        notify.send(webhook(f"{web.url}/burnish?team=1", secret_file), MESSAGE)
    assert web.rejected == 0
    (message,) = web.messages
    assert message["id"] == MESSAGE.id == web.headers[0]["webhook-id"]
    assert message["subject"] == "[Burnish BURNISH] Request R000042 needs a person"
    (notice,) = message["notices"]
    assert notice["cause"] == "needs_person"
    assert notice["request"] == "R000042"
    assert notice["remedy"] == "Put in a blank CD."
    assert notice["url"] == "https://discs.example.org/requests/R000042"
    assert "To do: Put in a blank CD." in message["text"]


def test_patients_go_only_to_receivers_that_may_know_them(secret_file: Path) -> None:
    with web_receiver() as web:
        notify.send(webhook(web.url, secret_file), MESSAGE)
        notify.send(webhook(web.url, secret_file, patients=True), MESSAGE)
    without, with_patients = web.messages
    assert "ller" not in json.dumps(without)
    assert "P1" not in json.dumps(without)
    assert with_patients["notices"][0]["patients"][0]["patient_id"] == "P1"
    assert "Müller, Jörg (P1)" in with_patients["text"]


def test_a_wrong_secret_is_not_taken(secret_file: Path) -> None:
    secret_file.write_text("another secret of enough bytes")
    with web_receiver() as web, pytest.raises(OperatorError, match="answers 401"):
        notify.send(webhook(web.url, secret_file), MESSAGE)
    assert web.rejected == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed(secret_file: Path, status: int) -> None:
    with web_receiver() as web:
        web.answer = lambda _: status
        with pytest.raises(OperatorError, match="redirect"):
            notify.send(webhook(web.url, secret_file), MESSAGE)
    assert len(web.messages) == 1


@pytest.mark.parametrize("status", [400, 410, 429, 500, 503])
def test_other_answers_say_that_the_message_was_not_taken(secret_file: Path, status: int) -> None:
    with web_receiver() as web:
        web.answer = lambda _: status
        with pytest.raises(OperatorError, match=f"answers {status}"):
            notify.send(webhook(web.url, secret_file), MESSAGE)


def test_a_receiver_that_never_answers_costs_no_more_than_its_time(secret_file: Path) -> None:
    may_end = threading.Event()
    with web_receiver() as web:

        def wait(_handler: object) -> int:
            may_end.wait()
            return 204

        web.answer = wait
        receiver = webhook(web.url, secret_file, timeout=timedelta(milliseconds=300))
        with pytest.raises(OperatorError, match=r"no answer in 0\.3 s"):
            notify.send(receiver, MESSAGE)
        may_end.set()


def test_a_receiver_that_answers_a_byte_now_and_then_is_cut_off(secret_file: Path) -> None:
    is_cut_off = threading.Event()
    with web_receiver() as web:

        def dribble(handler: Any) -> int:
            try:
                while True:
                    handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                    is_cut_off.wait(0.02)
            except OSError:
                is_cut_off.set()
            return 204

        web.answer = dribble
        receiver = webhook(web.url, secret_file, timeout=timedelta(milliseconds=300))
        with pytest.raises(OperatorError, match="no answer"):
            notify.send(receiver, MESSAGE)
        assert is_cut_off.wait(300)


def test_a_certificate_is_verified_with_its_authority_and_its_host(
    secret_file: Path, authority: Identity, context: ssl.SSLContext
) -> None:
    with web_receiver(context) as web:
        notify.send(webhook(web.url, secret_file, ca=authority.certificate), MESSAGE)
        with pytest.raises(OperatorError, match="certificate is not valid"):
            notify.send(webhook(web.url, secret_file), MESSAGE)
    assert len(web.messages) == 1
    with web_receiver(server_context(authority, "127.0.0.9")) as web:
        with pytest.raises(OperatorError, match="certificate is not valid"):
            notify.send(webhook(web.url, secret_file, ca=authority.certificate), MESSAGE)
        assert not web.messages


def test_a_receiver_that_is_not_there_is_told_without_the_path_of_its_address(
    secret_file: Path, free_port: int
) -> None:
    receiver = webhook(f"http://127.0.0.1:{free_port}/path?key=hidden", secret_file)
    with pytest.raises(OperatorError, match="refused") as raised:
        notify.send(receiver, MESSAGE)
    assert "hidden" not in str(raised.value) + raised.value.hint


@pytest.mark.usefixtures("_proxies")
def test_no_proxy_of_the_environment_is_used(secret_file: Path) -> None:
    with web_receiver() as web:
        notify.send(webhook(web.url, secret_file), MESSAGE)
    assert len(web.messages) == 1


@pytest.fixture
def _proxies(monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port}")


# --- e-mail ---


def mail(port: int, **more: Any) -> NoticeReceiverSettings:
    values = {
        "name": "mail",
        "kind": "mail",
        "host": "127.0.0.1",
        "port": port,
        "sender": "burnish@example.org",
        "to": ("a@example.org", "b@example.org"),
        **more,
    }
    return NoticeReceiverSettings(**values)


@pytest.fixture
def sign_in(tmp_path: Path, authority: Identity) -> dict[str, Any]:
    """The settings of an e-mail receiver with STARTTLS and login."""
    password = tmp_path / "password"
    password.write_text(f"{PASSWORD}\n")
    return {"user": USER, "password_file": password, "ca": authority.certificate}


def test_a_mail_goes_by_starttls_and_login(
    context: ssl.SSLContext, sign_in: dict[str, Any]
) -> None:
    with mail_receiver(context) as server:
        notify.send(mail(server.port, patients=True, **sign_in), MESSAGE)
    (received,) = server.mails
    assert server.users == [USER]
    assert server.recipients == [["a@example.org", "b@example.org"]]
    assert received["subject"] == "[Burnish BURNISH] Request R000042 needs a person"
    assert received["message-id"] == f"<{MESSAGE.id}@example.org>"
    assert received["auto-submitted"] == "auto-generated"
    text = received.get_content()
    assert "Patient: Müller, Jörg (P1)" in text
    assert "https://discs.example.org/requests/R000042" in text


def test_a_mail_goes_by_tls_from_the_start(context: ssl.SSLContext, authority: Identity) -> None:
    with mail_receiver(context, tls=True) as server:
        receiver = mail(server.port, encryption="tls", ca=authority.certificate)
        notify.send(receiver, MESSAGE)
    assert len(server.mails) == 1
    assert "ller" not in server.mails[0].get_content()


def test_nothing_is_sent_to_a_mail_server_without_a_valid_certificate(
    context: ssl.SSLContext, sign_in: dict[str, Any]
) -> None:
    del sign_in["ca"]
    with mail_receiver(context) as server:
        with pytest.raises(OperatorError, match="certificate is not valid"):
            notify.send(mail(server.port, **sign_in), MESSAGE)
        assert server.users == []


def test_a_mail_server_without_starttls_gets_nothing(sign_in: dict[str, Any]) -> None:
    with mail_receiver() as server:
        with pytest.raises(OperatorError, match="STARTTLS"):
            notify.send(mail(server.port, **sign_in), MESSAGE)
        assert server.users == []
    assert server.mails == []


def test_a_wrong_password_is_told(context: ssl.SSLContext, sign_in: dict[str, Any]) -> None:
    sign_in["password_file"].write_text("wrong")
    with mail_receiver(context) as server, pytest.raises(OperatorError, match="answers 535") as e:
        notify.send(mail(server.port, **sign_in), MESSAGE)
    assert "wrong" not in str(e.value)


def test_a_mail_that_the_server_refuses_was_not_taken() -> None:
    with mail_receiver() as server:
        server.answer = "451 try again"
        with pytest.raises(OperatorError, match="answers 451"):
            notify.send(mail(server.port, encryption="none"), MESSAGE)
        server.refuses = {"a@example.org", "b@example.org"}
        with pytest.raises(OperatorError, match=r"refuses a@example\.org, b@example\.org"):
            notify.send(mail(server.port, encryption="none"), MESSAGE)
    assert server.mails == []


def test_one_wrong_address_does_not_tell_the_others_again_and_again() -> None:
    with mail_receiver() as server, structlog.testing.capture_logs() as logs:
        server.refuses = {"b@example.org"}
        notify.send(mail(server.port, encryption="none"), MESSAGE)
    assert server.recipients == [["a@example.org"]]
    assert [line["refused"] for line in logs] == [["b@example.org"]]


@pytest.mark.parametrize("text", ["a\r\nBcc: x@example.org", "a\nb", "a\r\n\r\nb", "a\x00b\u2028c"])
def test_no_text_begins_another_header(text: str) -> None:
    item = replace(ITEM, subject=text, reason=text, patients=((text, text),))
    message = replace(MESSAGE, site=text, items=(item,))
    with mail_receiver() as server:
        notify.send(mail(server.port, encryption="none", patients=True), message)
    (received,) = server.mails
    assert received["bcc"] is None
    assert server.recipients == [["a@example.org", "b@example.org"]]
    assert "\n" not in received["subject"]
    assert received.get_content().count("\n") == message.text.count("\n")


# --- command ---


def script(path: Path, text: str) -> str:
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return str(path)


def test_a_command_gets_the_message_on_standard_input_and_in_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BURNISH_SECURITY__PASSWORD", "hidden")
    program = script(
        tmp_path / "page",
        "import json, os, sys\n"
        "json.dump([sys.argv[1:], json.load(sys.stdin), dict(os.environ)], open(sys.argv[1], 'w'))",
    )
    target = tmp_path / "output"
    notify.send(command(program, str(target), "$HOME; false"), MESSAGE)
    arguments, message, variables = json.loads(target.read_text())
    assert arguments == [str(target), "$HOME; false"]
    assert message["id"] == variables["NOTICE_ID"] == MESSAGE.id
    assert variables["NOTICE_CAUSE"] == "needs_person"
    assert variables["NOTICE_REQUEST"] == "R000042"
    assert variables["NOTICE_SUBJECT"] == MESSAGE.subject
    assert not [name for name in variables if name.startswith("BURNISH_")]


def test_a_command_that_fails_has_not_taken_the_message(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="exit code 3"):
        notify.send(command(script(tmp_path / "page", "raise SystemExit(3)")), MESSAGE)
    with pytest.raises(OperatorError, match="no program"):
        notify.send(command(str(tmp_path / "absent")), MESSAGE)


def test_a_command_that_does_not_end_is_killed_with_what_it_has_started(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    program = script(
        tmp_path / "page",
        "import os, sys, time\n"
        "os.fork()\n"
        "end = os.open(sys.argv[1], os.O_WRONLY)\n"
        "time.sleep(3600)",
    )
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    receiver = command(program, str(pipe), timeout=timedelta(seconds=1))
    with pytest.raises(OperatorError, match="has not ended in 1 s"):
        notify.send(receiver, MESSAGE)
    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b""  # nobody has the other end open any more
    os.close(reader)


def test_a_command_that_does_not_read_has_taken_the_message(tmp_path: Path) -> None:
    items = tuple(replace(ITEM, reason="x" * 10_000) for _ in range(50))
    notify.send(command(script(tmp_path / "page", "")), replace(MESSAGE, items=items))


# --- texts and checks ---


def test_several_items_are_one_message_with_a_bounded_text() -> None:
    message = replace(MESSAGE, items=tuple(replace(ITEM, notice=number) for number in range(120)))
    assert message.subject == "[Burnish BURNISH] 120 notices"
    assert "and 70 more" in message.text
    assert len(message.as_json()["notices"]) == 120


def test_messages_are_in_the_language_of_the_site() -> None:
    item = replace(ITEM, reason="It is held by user anna (10.0.0.3).", phase=NoticePhase.BEGUN)
    message = replace(MESSAGE, language="de", items=(item,))
    assert message.subject == "[Burnish BURNISH] Anforderung R000042 braucht jemanden"
    assert "Grund: Sie ist angehalten von:" in message.text
    assert message.as_json()["notices"][0]["reason"] == "It is held by user anna (10.0.0.3)."


@pytest.mark.parametrize("phase", list(NoticePhase))
@pytest.mark.parametrize("cause", list(NoticeCause))
def test_every_cause_has_its_words_in_every_language(
    cause: NoticeCause, phase: NoticePhase
) -> None:
    subjects = ("near", "full") if cause is NoticeCause.DISK else ("R000001",)
    for subject in subjects:
        item = replace(ITEM, cause=cause, phase=phase, subject=subject, outcome="It is held.")
        texts = {
            replace(MESSAGE, language=language, items=(item,)).text for language in ("en", "de")
        }
        assert len(texts) == 2


def test_what_a_receiver_needs_is_checked_before_anything_is_sent(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    receiver = webhook("https://alerts.example.org", secret)
    for content, message in (
        (None, "secret"),
        ("", "empty"),
        ("short", "shorter"),
        ("whsec_%%%%", "Base64"),
    ):
        if content is not None:
            secret.write_text(content)
        with pytest.raises(InvalidSettings, match=message):
            notify.check(receiver)
    secret.write_text(SECRET)
    notify.check(receiver)
    with pytest.raises(BurnishError, match="cannot be used"):
        notify.check(webhook("https://alerts.example.org", secret, ca=secret))
    with pytest.raises(BurnishError, match="no program"):
        notify.check(command("/does/not/exist"))


@pytest.fixture(autouse=True)
def _no_log() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield
