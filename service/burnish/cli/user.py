"""Surface: `burnish user …`, the users of the web page."""

from typing import TYPE_CHECKING, Annotated

import typer

from burnish.cli import output
from burnish.cli.installation import actor, open_database
from burnish.cli.options import Config, Json
from burnish.request.views import ListPage
from burnish.values import AccountRole

if TYPE_CHECKING:
    from burnish.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Manage the users of the web page.")

UserName = Annotated[str, typer.Argument(metavar="NAME")]


@app.callback()
def user() -> None:
    """Manage the users of the web page."""


@app.command("list")
def list_users(json: Json = False, config: Config = None) -> None:
    """List the users of the web page and their roles."""
    from burnish import accounts

    with open_database(config) as (_, database), database.reading() as session:
        users = accounts.accounts(session)
    if json:
        output.print_views(ListPage(tuple(users)))
        return
    output.print_table(
        ("user", "role", "password", "signed in", ">sessions"),
        [
            (
                user.name,
                user.role,
                "set" if user.has_password else "not set",
                user.signed_in_at,
                user.sessions,
            )
            for user in users
        ],
        empty="no users; `burnish serve` prints the link for the first administrator",
    )


@app.command()
def add(
    name: UserName,
    role: Annotated[
        AccountRole, typer.Option(help="What the user may do; a viewer sees no patient data.")
    ] = AccountRole.DESK,
    json: Json = False,
    config: Config = None,
) -> None:
    """Add a user, and print the link by which they set a password within a day."""
    from burnish import accounts

    with open_database(config) as (settings, database):
        with database.writing() as session:
            accounts.add_account(session, name, role, by=actor())
            secret = accounts.new_link(session, name.strip())
        _print_link(settings, name.strip(), secret, json=json)


@app.command()
def role(
    name: UserName,
    new_role: Annotated[
        AccountRole,
        typer.Argument(metavar="ROLE", help="What the user may do from the next click on."),
    ],
    json: Json = False,
    config: Config = None,
) -> None:
    """Give a user another role; one administrator always stays."""
    from burnish import accounts

    with open_database(config) as (_, database), database.writing() as session:
        accounts.set_role(session, name, new_role, by=actor())
    output.print_outcome(
        f"user {name} is {new_role} now", {"name": name, "role": new_role}, json=json
    )


@app.command()
def remove(name: UserName, json: Json = False, config: Config = None) -> None:
    """Remove a user, who is signed out at once."""
    from burnish import accounts

    with open_database(config) as (_, database), database.writing() as session:
        accounts.remove_account(session, name, by=actor())
    output.print_outcome(f"user {name} is removed", {"name": name}, json=json)


@app.command()
def password(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="Without it: the first administrator.")
    ] = "",
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Set the first line of standard input at once.")
    ] = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """Print a link by which a user sets a new password within a day."""
    from burnish import accounts

    if stdin and not name:
        raise typer.BadParameter("--stdin needs a NAME")
    with open_database(config) as (settings, database):
        if stdin:
            password_hash = accounts.hash_password(
                typer.get_text_stream("stdin").readline().rstrip("\r\n")
            )
            with database.writing() as session:
                accounts.set_password(session, name, password_hash, by=actor())
            output.print_outcome(f"the password of {name} is set", {"name": name}, json=json)
            return
        with database.writing() as session:
            secret = accounts.new_link(session, name)
        _print_link(settings, name, secret, json=json)


def _print_link(settings: "Settings", name: str, secret: str, *, json: bool) -> None:
    from burnish.accounts import NewLink

    link = f"{settings.web.address(settings.web.port)}/welcome/{secret}"
    output.print_new(link, NewLink(name, link), json=json)
