"""Places in a wave, given to names and taken back: what one operator does within what two decided."""

from access_policies import revision, stages
from access_policies.stages import Reach
from marketplace.audit.entries import EntryKind, Fact
from marketplace.errors import InvalidMove
from marketplace.rollout.plan import fault_of_name
from marketplace.rollout.situation import waves_of
from marketplace.rollout.words import of_scope
from marketplace.sharing.step import Step


def invite(step: Step, scope: str, name: str, reason: str) -> str:
    """Let a name take a free place in a wave in force. Raises InvalidMove, AccessDenied."""
    step.check_operator()
    reach = _reach(step, scope)
    waves = waves_of(step.connection, reach)
    if not waves:
        raise InvalidMove(
            f"{of_scope(scope)} is not open by invitation.",
            next_step="See how it is open with: marketplace rollout.",
        )
    fault = fault_of_name(step.connection, name, reach.stage)
    if not fault and any(name in wave.invited for wave in waves):
        fault = "They have a place already."
    if fault:
        raise InvalidMove(fault, next_step="See who is invited with: marketplace rollout.")
    chosen = next((wave for wave in waves if wave.free), None)
    if chosen is None:
        raise InvalidMove(
            "Every place is taken.",
            next_step="Propose another wave with: marketplace rollout wave.",
        )
    since = revision.read(step.connection)
    stages.invite(step.connection, chosen.id, name, since_revision=since)
    step.record(EntryKind.STAGE_INVITED, _facts(scope, chosen.id, name), reason)
    return chosen.id


def uninvite(step: Step, scope: str, name: str, reason: str) -> str:
    """Take the place of a name in a wave in force back. Raises InvalidMove, AccessDenied."""
    step.check_operator()
    waves = waves_of(step.connection, _reach(step, scope))
    held = next((wave for wave in waves if name in wave.invited), None)
    if held is None:
        raise InvalidMove(
            f"{name!a:.120} has no place in a wave of {of_scope(scope)}.",
            next_step="See who is invited with: marketplace rollout.",
        )
    stages.uninvite(step.connection, held.id, name)
    step.record(EntryKind.STAGE_INVITED, _facts(scope, held.id, name) | {"ended": True}, reason)
    return held.id


def _reach(step: Step, scope: str) -> Reach:
    moves = stages.history(step.connection, scope)
    return stages.reach_of(scope, stages.holding(moves, step.now))


def _facts(scope: str, wave: str, name: str) -> dict[str, Fact]:
    return {"scope": scope, "wave": wave, "name": name}
