"""Surface: `burnish peer …`, the peers: who has called, who was rejected, and who answers."""

from typing import TYPE_CHECKING, Annotated

import typer

from burnish.cli import output
from burnish.cli.installation import open_database, read_settings
from burnish.cli.options import Config, Json, Limit
from burnish.errors import PeerFailed

if TYPE_CHECKING:
    from burnish.access.peer_test import PeerAnswer

app = typer.Typer(no_args_is_help=True, help="Show who has called, and test peers.")

PeerName = Annotated[str, typer.Argument(metavar="AE", help="The AE title of a configured peer.")]


@app.callback()
def peer() -> None:
    """Show who has called, and test peers."""


@app.command("list")
def list_peers(limit: Limit = 100, json: Json = False, config: Config = None) -> None:
    """List the last contacts, and configured peers that have never called.

    Of each rejected peer, the lines of the configuration follow that would admit it.
    """
    from burnish import contacts

    with open_database(config) as (settings, database), database.reading() as session:
        views = contacts.contacts(session, settings, limit=limit)
        peers = contacts.peers(session, settings)
    if json:
        output.print_views({"contacts": views, "peers": peers})
        return
    rows: list[tuple[object, ...]] = [
        (
            view.calling_ae_title,
            view.address,
            view.last_at,
            view.outcome,
            view.associations,
            view.rejections,
            view.detail,
        )
        for view in views
    ]
    rows += [
        (peer.ae_title, peer.host, None, "never called", 0, 0, "")
        for peer in peers
        if peer.last is None
    ]
    output.print_table(
        ("peer", "address", "last", "how", ">accepted", ">rejected", "detail"),
        rows,
        empty="no peer is configured, and none has called",
    )
    for view in views:
        if view.remedy:
            output.print_error(f"{view.calling_ae_title} was rejected: {view.remedy}")
            for line in view.admitting_lines:
                typer.echo(f"  {line}", err=True)
        elif view.admitted_since:
            output.print_error(f"{view.calling_ae_title} was rejected; it would be admitted now")


@app.command()
def echo(name: PeerName, json: Json = False, config: Config = None) -> None:
    """Send a C-ECHO to a peer. Fails if it does not answer with success."""
    from burnish import contacts
    from burnish.access import peer_test

    settings = read_settings(config)
    peer = contacts.peer_named(settings, name)
    _print_answer(peer_test.echo(settings, peer), json=json)


@app.command()
def store(name: PeerName, json: Json = False, config: Config = None) -> None:
    """Send a generated image to a peer by C-STORE. Fails if it does not answer with success."""
    from burnish import contacts
    from burnish.access import peer_test
    from burnish.request import burn_test

    settings = read_settings(config)
    peer = contacts.peer_named(settings, name)
    answer = peer_test.store(settings, peer, burn_test.generated_instances(name)[0])
    _print_answer(answer, json=json)


def _print_answer(answer: "PeerAnswer", *, json: bool) -> None:
    if json:
        output.print_views(answer)
    elif answer.is_good:
        milliseconds = answer.seconds * 1000
        typer.echo(f"{answer.ae_title} at {answer.address} answers in {milliseconds:.0f} ms")
    if not answer.is_good:
        raise PeerFailed(
            f"{answer.ae_title} at {answer.address}: {answer.detail}",
            hint="is the peer running, are host and port of its [[peer]] right, and does it know"
            " this AE title?",
        )
