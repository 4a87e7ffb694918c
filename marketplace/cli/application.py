"""The commands of `marketplace`, by name.

What only the service can do is imported inside the command, so that the client's commands run where
the service is not installed.
"""

from collections.abc import Callable

from cyclopts import App, Group

from marketplace import cli
from marketplace.cli import (
    administration,
    agreements,
    audit,
    oversight,
    policy,
    publishing,
    reading,
    rollout,
    service,
    sharing,
    staff,
    standing,
)

PUBLISH = Group.create_ordered("Publish and find")
SHARE = Group.create_ordered("Share")
LOOK_AFTER = Group.create_ordered("Look after data")
OVERSEE = Group.create_ordered("Oversee")
USE = Group.create_ordered("Use")
RUN = Group.create_ordered("Run the service")

COMMANDS: dict[Group, dict[str, Callable[..., None] | App]] = {
    PUBLISH: {
        "publish": publishing.publish,
        "datasets": publishing.datasets,
        "dataset": publishing.dataset,
        "preview": reading.preview,
    },
    SHARE: {
        "request": sharing.request,
        "requests": sharing.requests,
        "approve": sharing.approve,
        "return": sharing.return_,
        "reject": sharing.reject,
        "cancel": sharing.cancel,
        "agreements": agreements.agreements,
        "extend": agreements.extend,
        "revoke": agreements.revoke,
        "why": sharing.why,
    },
    LOOK_AFTER: {
        "offer": standing.offer,
        "offers": standing.offers,
        "withdraw": standing.withdraw,
        "stop": standing.stop,
        "stops": standing.stops,
        "resume": standing.resume,
        "staff": staff.staff,
    },
    OVERSEE: {
        "who": oversight.who,
        "what": oversight.what,
        "changes": oversight.changes,
    },
    USE: {
        "query": reading.query,
        "pull": reading.pull,
    },
    RUN: {
        "demo": service.demo,
        "serve": service.serve,
        "rollout": rollout.rollout,
        "audit": audit.audit,
        "policy": policy.policy,
        "admin": administration.admin,
    },
}


def application() -> App:
    """The whole command line."""
    app = App(
        name="marketplace",
        help="Share government datasets so that an approval is the enforcement.",
        version=cli.version,
        help_format="markdown",
    )
    for group, commands in COMMANDS.items():
        for name, command in commands.items():
            if isinstance(command, App):
                command.group = (group,)
                app.command(command)
            else:
                app.command(command, name=name, group=group)
    return app
