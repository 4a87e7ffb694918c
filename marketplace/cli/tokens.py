"""`marketplace admin token`: what a person signs in with, for one project or one role."""

from datetime import date

from cyclopts import App

from access_policies.vocabulary import Role
from marketplace.cli.operators import OPERATOR, Operator
from marketplace.cli.screen import Json, end_of, say, show_json, show_table
from marketplace.clock import end_of_last_day

token = App(
    name="token",
    help="What a person signs in with, for one project or one role.",
    help_format="markdown",
)


@token.command(name="issue")
def issue_token(
    email: str,
    /,
    *,
    last_day: date,
    squad: str | None = None,
    role: Role | None = None,
    organisation: str | None = None,
    json: Json = False,
    operator: Operator = OPERATOR,
) -> None:
    """Make a token for a person and show it, this once.

    Parameters
    ----------
    email
        The person, by e-mail address.
    last_day
        The last day, to its end in London (YYYY-MM-DD).
    squad
        The squad or project that it is for; or else
    role
        the role that it is for, and for publishers and owners
    organisation
        the organisation that they hold it in.
    json
        Write JSON.
    """
    with operator.administration() as administration:
        secret, issued = administration.issue_token(
            email=email,
            project=squad,
            role=role,
            organisation=organisation,
            expires_at=end_of_last_day(last_day),
            by=operator.name,
        )
    if json:
        show_json({"token": secret, "id": issued.id, "expires_at": issued.expires_at})
    else:
        say(secret)


@token.command(name="list")
def list_tokens(*, json: Json = False, operator: Operator = OPERATOR) -> None:
    """List every token, without its secret.

    Parameters
    ----------
    json
        Write JSON.
    """
    with operator.administration() as administration:
        names = {one.id: one.email for one in administration.people()}
        found = administration.tokens()
    if json:
        show_json(found)
        return
    show_table(
        ("id", "person", "for", "until", "revoked", "last used"),
        (
            (
                one.id,
                names.get(one.person, one.person),
                one.project or f"{one.role} {one.organisation or ''}",
                end_of(one.expires_at),
                one.revoked_at,
                one.last_used_at,
            )
            for one in found
        ),
    )


@token.command(name="revoke")
def revoke_token(identifier: str, /, *, operator: Operator = OPERATOR) -> None:
    """Let a token open nothing from now on; running results end within a second.

    Parameters
    ----------
    identifier
        The token, as `admin token list` names it; never the secret.
    """
    with operator.administration() as administration:
        administration.revoke_token(identifier, by=operator.name)
    say("The token is revoked.")
