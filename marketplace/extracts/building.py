"""Extracts on their way: each is built once, however many wait for it, in however many processes.

Threads of one process wait for one build. Processes on one data folder take a lock of the kernel,
which goes with its process however that ends. Nodes that share no folder may both build; the
database keeps the first.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    InvalidStateError,
    ThreadPoolExecutor,
    wait,
)
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Lock
from typing import Any

from catalogue.dataset import DataFile
from catalogue.errors import Problem
from marketplace.engine.query.cancellation import Cancellation
from marketplace.errors import ExtractNotReady, WorkerLost
from marketplace.extracts.plan import ExtractPlan

Files = tuple[DataFile, ...]
Report = Callable[[float], None]

# How many extracts are built at the same time; each may use all the memory of its limits.
_AT_ONCE = 2
_LOOK_AGAIN = 0.05


class Build:
    """One extract on its way. `share` is how much of it is done, 0 to 1."""

    def __init__(self) -> None:
        self.share = 0.0
        self.files: Future[Files] = Future()

    def report(self, share: float) -> None:
        """Note how far it is; a share never becomes smaller."""
        self.share = max(self.share, share)


class Builds:
    """The extracts that are being built in this process, by their keys."""

    def __init__(self, build: Callable[[ExtractPlan, Report], Files], *, locks: Path) -> None:
        self._build = build
        self._locks = locks
        self._guard = Lock()
        self._running: dict[str, Build] = {}
        self._closing = Event()
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="extracts")

    def wait_for(
        self,
        plan: ExtractPlan,
        *,
        patience: float | None,
        cancellation: Cancellation | None = None,
    ) -> Files:
        """The files of a plan, from a build that runs already or is begun here.

        Raises what the build raised, ExtractNotReady where it is still running after `patience`
        seconds (None: for ever), and QueryStopped where `cancellation` says so; it goes on.
        """
        build = self._begun(plan)
        if cancellation is not None:
            _wait(build.files, cancellation, patience)
            patience = 0
        try:
            return build.files.result(timeout=patience)
        except TimeoutError:
            raise ExtractNotReady(
                "The data that your agreement lets out is still being prepared: "
                f"{build.share:.0%} is done.",
                next_step="Send the same again in a moment; the work goes on meanwhile.",
            ) from None

    def close(self) -> None:
        """Begin no more, and wait for those that run; stop their processes before."""
        self._closing.set()
        self._threads.shutdown(cancel_futures=True)
        with self._guard:
            for build in self._running.values():
                if not build.files.done():
                    build.files.set_exception(_stopping())

    def _begun(self, plan: ExtractPlan) -> Build:
        with self._guard:
            build = self._running.get(plan.key)
            if build is None:
                if self._closing.is_set():
                    raise _stopping()
                build = self._running[plan.key] = Build()
                self._threads.submit(self._run, plan, build)
            return build

    def _run(self, plan: ExtractPlan, build: Build) -> None:
        try:
            with self._alone(plan.key):
                files = self._build(plan, build.report)
        except BaseException as error:  # noqa: BLE001 -- it belongs to those who wait
            self._forget(plan)
            build.files.set_exception(error)
        else:
            self._forget(plan)
            build.files.set_result(files)

    def _forget(self, plan: ExtractPlan) -> None:
        with self._guard:
            del self._running[plan.key]

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """Hold the lock that all processes on this data folder take for the key.

        One of 256 files, so that none needs to be removed: two extracts that share one are built
        one after the other.
        """
        handle = os.open(self._locks / f"{key[:2]}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            while not self._locked(handle):
                if self._closing.wait(_LOOK_AGAIN):
                    raise _stopping()
            yield
        finally:
            os.close(handle)

    def _locked(self, handle: int) -> bool:
        with suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False


def _wait(files: Future[Files], cancellation: Cancellation, patience: float | None) -> None:
    left: Future[None] = Future()

    def leave(_: Problem) -> None:
        with suppress(InvalidStateError):  # left twice
            left.set_result(None)

    cancellation.attach(leave)
    either: tuple[Future[Any], ...] = (files, left)
    wait(either, timeout=patience, return_when=FIRST_COMPLETED)
    cancellation.check()


def _stopping() -> WorkerLost:
    return WorkerLost("The service is stopping.", next_step="Try again in a moment.")
