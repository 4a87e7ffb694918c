"""Where the marketplace is put together: one object graph for HTTP, the command line and tests."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from access_policies.decision_point import DecisionPoint
from catalogue.object_store import ObjectStore
from catalogue.places import Places
from connectors.stores import open_store
from connectors.verified_cache import VerifiedCache
from marketplace.administration import Administration
from marketplace.audit.checkpoint import open_signer
from marketplace.audit.log import AuditLog
from marketplace.audit.recorder import Recorder
from marketplace.clock import Clock, never_back, system_clock
from marketplace.database import Database, open_database
from marketplace.discovery import Discovery
from marketplace.download import Downloads
from marketplace.engine.extract.build import ExtractBuilder
from marketplace.engine.limits import Limits
from marketplace.engine.query.workers import QueryWorkers
from marketplace.extracts import Extracts
from marketplace.extracts.masking_keys import MaskingKeys
from marketplace.housekeeping import Housekeeping
from marketplace.identity.callers import Callers
from marketplace.oversight import Oversight
from marketplace.preparation import Preparation
from marketplace.publish import Publishing
from marketplace.query import Querying
from marketplace.query.permits import Permits
from marketplace.rollout import Rollout
from marketplace.rollout.criteria import SHIPPED, read_thresholds
from marketplace.scratch import Scratch
from marketplace.settings import Settings
from marketplace.sharing import PolicyFiles, Sharing, StandingRules
from marketplace.staff import Staff


@dataclass(frozen=True, slots=True, kw_only=True)
class Marketplace:
    """The running parts, each ready to use; `close` stops them in the right order."""

    settings: Settings
    clock: Clock
    database: Database
    store: ObjectStore
    cache: VerifiedCache
    places: Places
    decision_point: DecisionPoint
    audit: AuditLog
    callers: Callers
    workers: QueryWorkers
    scratch: Scratch
    extracts: Extracts
    preparation: Preparation
    housekeeping: Housekeeping
    administration: Administration
    discovery: Discovery
    publishing: Publishing
    sharing: Sharing
    standing: StandingRules
    oversight: Oversight
    rollout: Rollout
    staff: Staff
    policy: PolicyFiles
    querying: Querying
    downloads: Downloads

    def close(self) -> None:
        """Stop the workers, give every entry its place in the log, and let database and files go."""
        self.workers.close()
        self.publishing.close()
        self.extracts.close()
        self.preparation.close()
        self.audit.close()
        self.database.close()
        self.scratch.close()


def open_marketplace(
    settings: Settings, *, clock: Clock = system_clock, prepared: bool = False, spares: int = 1
) -> Marketplace:
    """Open the marketplace on its data, bringing the database's schema up to date.

    Where it was `prepared` by another process a moment ago, schema and store are not looked at
    again. `spares` query workers wait started for whoever comes with new files. No worker is started
    yet: the first statement does that, or `workers.start()`. Raises StoreUnfit where the object
    store cannot keep the publish protocol's promises.
    """
    with ExitStack() as undo:
        marketplace = _compose(settings, never_back(clock), undo, prepared=prepared, spares=spares)
        marketplace.audit.start()
        undo.pop_all()
    return marketplace


def _compose(
    settings: Settings, clock: Clock, undo: ExitStack, *, prepared: bool, spares: int
) -> Marketplace:
    folders = _Folders(settings.data)
    database = open_database(settings.database_url, clock=clock)
    undo.callback(database.close)
    store = open_store(settings.store_location, endpoint=settings.s3_endpoint)
    if not prepared:
        database.migrate()
        store.probe()
    cache = VerifiedCache(store, folders.cache, settings.cache_limit)
    places = Places.load()
    decision_point = DecisionPoint()
    recorder = Recorder(database, clock)
    audit = AuditLog(database, open_signer(folders.keys, settings.origin), recorder)
    query_limits = Limits(
        memory=settings.query_memory,
        threads=settings.query_threads,
        deadline=settings.query_deadline,
        result=settings.result_bytes_limit,
        delivery=settings.result_delivery,
        require_confinement=settings.require_confinement,
    )
    ingest_limits = Limits(
        memory=settings.ingest_memory,
        threads=settings.query_threads,
        deadline=settings.ingest_deadline,
        require_confinement=settings.require_confinement,
    )
    scratch = Scratch(folders.scratch)
    undo.callback(scratch.close)
    workers = QueryWorkers(
        query_limits,
        places=settings.query_workers,
        spares=spares,
        scratch=scratch.path,
        memory=settings.query_memory_in_all,
        most_waiting=settings.query_line,
    )
    extracts = Extracts(
        database=database,
        store=store,
        cache=cache,
        places=places,
        keys=MaskingKeys.open(folders.keys),
        builder=ExtractBuilder(ingest_limits, scratch=scratch.path),
        scratch=scratch.path,
        locks=folders.locks,
        patience=settings.query_deadline,
        clock=clock,
    )
    discovery = Discovery(database=database, decision_point=decision_point, clock=clock)
    permits = Permits(
        database=database, recorder=recorder, decision_point=decision_point, clock=clock
    )
    preparation = Preparation(database=database, extracts=extracts, clock=clock)
    return Marketplace(
        settings=settings,
        clock=clock,
        database=database,
        store=store,
        cache=cache,
        places=places,
        decision_point=decision_point,
        audit=audit,
        callers=Callers(database, clock),
        workers=workers,
        scratch=scratch,
        extracts=extracts,
        preparation=preparation,
        housekeeping=Housekeeping(
            database=database, store=store, scratch=folders.scratch, clock=clock
        ),
        administration=Administration(database=database, places=places, clock=clock),
        discovery=discovery,
        publishing=Publishing(
            database=database,
            decision_point=decision_point,
            store=store,
            limits=ingest_limits,
            scratch=scratch.path,
            clock=clock,
            at_once=settings.ingests_at_once,
            on_released=preparation.released,
        ),
        sharing=Sharing(
            database=database,
            decision_point=decision_point,
            places=places,
            clock=clock,
            on_agreed=preparation.agreed,
        ),
        standing=StandingRules(
            database=database, decision_point=decision_point, places=places, clock=clock
        ),
        oversight=Oversight(database=database, decision_point=decision_point, clock=clock),
        rollout=Rollout(
            database=database,
            decision_point=decision_point,
            clock=clock,
            thresholds=read_thresholds(settings.exit_criteria or SHIPPED),
        ),
        staff=Staff(database=database, decision_point=decision_point, clock=clock),
        policy=PolicyFiles(
            database=database,
            decision_point=decision_point,
            places=places,
            clock=clock,
            on_agreed=preparation.agreed,
        ),
        querying=Querying(
            permits=permits,
            extracts=extracts,
            discovery=discovery,
            workers=workers,
            deadline=settings.query_deadline,
            scan_limit=settings.query_scan_limit,
        ),
        downloads=Downloads(permits=permits, extracts=extracts),
    )


@contextmanager
def opened(
    settings: Settings, *, clock: Clock = system_clock, prepared: bool = False, spares: int = 1
) -> Iterator[Marketplace]:
    """The marketplace for the length of a block; see `open_marketplace`."""
    marketplace = open_marketplace(settings, clock=clock, prepared=prepared, spares=spares)
    try:
        yield marketplace
    finally:
        marketplace.close()


class _Folders:
    """The places in the data folder, made private to the service's user."""

    def __init__(self, data: Path) -> None:
        data.mkdir(parents=True, exist_ok=True)
        self.keys = _private(data / "keys")
        self.cache = _private(data / "cache")
        self.locks = _private(data / "locks")
        self.scratch = _private(data / "scratch")


def _private(folder: Path) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
