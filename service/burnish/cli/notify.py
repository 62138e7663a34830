"""Surface: `burnish notify …`, who is told when something needs a person."""

from typing import Annotated

import typer

from burnish.cli import output
from burnish.cli.installation import open_database, read_settings
from burnish.cli.options import Config, Json, Limit
from burnish.errors import OperatorError, Unknown
from burnish.request.views import ListPage, list_page
from burnish.wording import quantity

app = typer.Typer(no_args_is_help=True, help="Show notices and their receivers, and test them.")


@app.callback()
def notify() -> None:
    """Show notices and their receivers, and test them."""


@app.command("list")
def list_notices(
    limit: Limit = 20,
    before: Annotated[
        int, typer.Option("--before", metavar="PLACE", min=0, help="The `next` of another list.")
    ] = 0,
    only_open: Annotated[bool, typer.Option("--open", help="Only what has not ended yet.")] = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """List the open and recent notices, newest first."""
    from burnish.notices import listing

    with open_database(config) as (_, database), database.reading() as session:
        notices = listing.notices(
            session, limit=limit + 1, before=before or None, is_open=True if only_open else None
        )
    page = list_page(notices, limit, lambda notice: notice.id)
    if json:
        output.print_views(page)
        return
    for notice in page.items:
        state = "open" if notice.ended_at is None else "ended"
        subject = notice.request or notice.device or notice.subject
        output.print_items(
            (notice.cause, subject, state, f"since {output.format_time(notice.began_at)}"),
            hanging=2,
        )
        output.print_sentence(notice.reason, indent=2)
        if notice.ended_at is None and notice.remedy:
            output.print_sentence(f"To do: {notice.remedy}", indent=2)
        if notice.outcome:
            output.print_sentence(f"Now: {notice.outcome}", indent=2)
        deliveries = [f"{line.receiver}: {line.phase} {line.state}" for line in notice.deliveries]
        output.print_items(deliveries, indent=2, hanging=2)
    if not page.items:
        typer.echo("no notices", err=True)
    output.print_more(page)


@app.command("receivers")
def list_receivers(json: Json = False, config: Config = None) -> None:
    """List the receivers: what waits for each, and why it does not take it."""
    from burnish.notices import listing

    with open_database(config) as (settings, database), database.reading() as session:
        receivers = listing.receivers(session, settings)
    if json:
        output.print_views(ListPage(tuple(receivers)))
        return
    output.print_table(
        ("receiver", "kind", "to", ">waiting", "last sent", "failing since"),
        output.table_rows(
            receivers, ("name", "kind", "place", "waiting", "last_sent_at", "failing_since")
        ),
        empty="no receivers: add a [[notify.receiver]] to the configuration",
    )
    for receiver in receivers:
        if receiver.problem:
            output.print_error(f"{receiver.name}: {receiver.problem}")


@app.command("test")
def send_test_messages(
    name: Annotated[
        str, typer.Argument(metavar="[RECEIVER]", help="Only this receiver.", show_default=False)
    ] = "",
    json: Json = False,
    config: Config = None,
) -> None:
    """Send a test message to all receivers, or to one. The service need not run."""
    from burnish import notify
    from burnish.notices import listing, outbox

    settings = read_settings(config)
    receivers = settings.notify.receiver
    if name:
        receivers = (listing.receiver_named(settings, name),)
    if not receivers:
        raise Unknown(
            "no receivers", hint="receivers are tables [[notify.receiver]] of the configuration"
        )
    answers: list[dict[str, str]] = []
    for receiver in receivers:
        message = outbox.trial_message(settings)
        try:
            notify.send(receiver, message)
        except OperatorError as error:
            answers.append({"name": receiver.name, "message": "", "problem": str(error)})
            output.print_error(f"{receiver.name}: {error}", error.hint)
        else:
            answers.append({"name": receiver.name, "message": message.id, "problem": ""})
            if not json:
                typer.echo(f"{receiver.name} has taken message {message.id}")
    if json:
        output.print_views(ListPage(tuple(answers)))
    failed = sum(1 for answer in answers if answer["problem"])
    if failed:
        raise OperatorError(f"{failed} of {quantity(len(receivers), 'receiver')} took no message")
