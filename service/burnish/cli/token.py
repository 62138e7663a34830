"""Surface: `burnish token …`, the tokens by which programs use the web interface."""

from datetime import timedelta
from typing import Annotated

import typer

from burnish.cli import output
from burnish.cli.installation import actor, open_database
from burnish.cli.options import Config, Json
from burnish.request.views import ListPage
from burnish.values import AccountRole

app = typer.Typer(no_args_is_help=True, help="Manage the tokens of programs.")

TokenName = Annotated[str, typer.Argument(metavar="NAME")]


@app.callback()
def token() -> None:
    """Manage the tokens of programs."""


@app.command("list")
def list_tokens(json: Json = False, config: Config = None) -> None:
    """List the tokens, without their secrets."""
    from burnish import accounts

    with open_database(config) as (_, database), database.reading() as session:
        tokens = accounts.tokens(session)
    if json:
        output.print_views(ListPage(tuple(tokens)))
        return
    output.print_table(
        ("token", "role", "created by", "created", "expires", "used"),
        output.table_rows(
            tokens, ("name", "role", "created_by", "created_at", "expires_at", "used_at")
        ),
        empty="no tokens",
    )


@app.command()
def create(
    name: TokenName,
    role: Annotated[AccountRole, typer.Option(help="What the program may do.")],
    days: Annotated[
        int, typer.Option(metavar="N", min=0, help="Days until it expires; 0: never.")
    ] = 365,
    json: Json = False,
    config: Config = None,
) -> None:
    """Create a token and print it. It is not shown again."""
    from burnish import accounts

    lifetime = timedelta(days=days) if days else None
    with open_database(config) as (_, database), database.writing() as session:
        secret = accounts.create_token(session, name, role, lifetime=lifetime, by=actor())
    output.print_new(secret, accounts.NewToken(name.strip(), secret), json=json)


@app.command()
def revoke(name: TokenName, json: Json = False, config: Config = None) -> None:
    """Revoke a token; it is refused from now on."""
    from burnish import accounts

    with open_database(config) as (_, database), database.writing() as session:
        accounts.revoke_token(session, name, by=actor())
    output.print_outcome(f"token {name} is revoked", {"name": name}, json=json)
