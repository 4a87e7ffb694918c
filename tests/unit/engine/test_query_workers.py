"""Workers serve one map each, end at their limits, and never pass a cut result off as a whole one."""

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from marketplace.engine import watch
from marketplace.engine.limits import Limits
from marketplace.engine.process import Call, ConfinedProcess
from marketplace.engine.query.bound_worker import BoundWorker
from marketplace.engine.query.query_messages import ENCODINGS, Encoding, OutputFormat
from marketplace.engine.query.view_map import BoundTable, ViewMap, view_map
from marketplace.engine.query.workers import QueryWorkers
from marketplace.engine.watch import Budget
from marketplace.errors import (
    QueryFailed,
    QueryTimedOut,
    QueryTooLarge,
    ServiceBusy,
    WorkerLost,
)

LARGE = "SELECT i, 'row ' || i AS text FROM range(3000000) t(i)"
NOTHING: ViewMap = ()
# With so small a spool a worker whose result nobody reads stays busy.
SMALL = Limits(memory=700 * 1024**2, threads=2, deadline=30.0, stall=30.0, spool=1024**2)

WriteParquet = Callable[[str, str], Path]
Bind = Callable[..., BoundTable]


def rows_of(workers: QueryWorkers, views: ViewMap, sql: str) -> str:
    return b"".join(workers.run(views, sql, Encoding(OutputFormat.CSV))).decode()


def wait_for_end(pid: int) -> None:
    """Wait, without polling, until the process is gone."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended, _, _ = select.select([descriptor], [], [], 20)
        assert ended, "the process still runs"
    finally:
        os.close(descriptor)


@contextmanager
def pool(tmp_path: Path, limits: Limits = SMALL, **options: float) -> Iterator[QueryWorkers]:
    settings = {"places": 2, "spares": 0} | options
    workers = QueryWorkers(limits, scratch=tmp_path / "scratch", **settings)  # type: ignore[arg-type]
    try:
        yield workers
    finally:
        workers.close()


@pytest.fixture
def views(write_parquet: WriteParquet, bound: Bind) -> ViewMap:
    return (
        bound(
            "liverpool.temporary_accommodation.households",
            write_parquet("households.parquet", "SELECT 1 AS id, 'Anfield' AS ward"),
        ),
    )


class TestNames:
    def test_a_table_answers_to_its_full_and_its_short_name_in_any_case(
        self, workers: QueryWorkers, views: ViewMap
    ) -> None:
        short = rows_of(workers, views, "FROM liverpool.temporary_accommodation")
        full = rows_of(workers, views, 'FROM LIVERPOOL."temporary_Accommodation".households')

        assert short == full == '"id","ward"\n1,"Anfield"\n'

    def test_a_table_among_several_has_no_short_name(
        self, workers: QueryWorkers, write_parquet: WriteParquet, bound: Bind
    ) -> None:
        file = write_parquet("a.parquet", "SELECT 1 AS id")
        views = (bound("leeds.housing.stock", file, short=False),)

        assert rows_of(workers, views, "FROM leeds.housing.stock") == '"id"\n1\n'
        with pytest.raises(QueryFailed):
            workers.run(views, "FROM leeds.housing", Encoding(OutputFormat.CSV))

    def test_tables_of_several_organisations_join(
        self, workers: QueryWorkers, views: ViewMap, write_parquet: WriteParquet, bound: Bind
    ) -> None:
        # The dataset has its organisation's name, and the name of another organisation's table.
        other = bound("leeds.leeds.liverpool", write_parquet("b.parquet", "SELECT 1 AS id, 7 AS n"))
        sql = "SELECT ward, n FROM liverpool.temporary_accommodation JOIN leeds.leeds USING (id)"

        assert rows_of(workers, (*views, other), sql) == '"ward","n"\n"Anfield",7\n'

    def test_several_files_are_one_table(
        self, workers: QueryWorkers, write_parquet: WriteParquet, bound: Bind
    ) -> None:
        files = [write_parquet(f"{n}.parquet", f"SELECT {n} AS id") for n in (1, 2)]
        sql = "SELECT sum(id) AS s FROM a.b"

        assert rows_of(workers, (bound("a.b", *files),), sql) == '"s"\n3\n'

    def test_folder_names_add_no_columns(self, workers: QueryWorkers, tmp_path: Path, write_parquet: WriteParquet, bound: Bind) -> None:  # fmt: skip
        (tmp_path / "secret=1").mkdir()
        file = write_parquet("secret=1/a.parquet", "SELECT 1 AS id")

        assert rows_of(workers, (bound("a.b", file),), "FROM a.b") == '"id"\n1\n'


class TestMaps:
    def test_one_map_keeps_its_worker_and_another_map_never_shares_it(
        self, workers: QueryWorkers, views: ViewMap, write_parquet: WriteParquet, bound: Bind
    ) -> None:
        other = (bound("leeds.housing", write_parquet("o.parquet", "SELECT 1 AS id")),)
        pids = []
        for each in (views, other, views, other):
            with workers.run(each, "SELECT 1", Encoding(OutputFormat.CSV)) as stream:
                pids.append(stream.pid)
                assert len(list(stream)) == 1

        assert pids[0] == pids[2] != pids[1] == pids[3]

    def test_the_order_in_which_tables_are_named_does_not_matter(
        self, views: ViewMap, write_parquet: WriteParquet, bound: Bind
    ) -> None:
        other = bound("leeds.housing", write_parquet("o.parquet", "SELECT 1 AS id"))

        assert view_map((*views, other)) == view_map((other, *views, other))

    def test_a_file_that_was_fetched_again_gets_a_new_worker(
        self, workers: QueryWorkers, write_parquet: WriteParquet, bound: Bind
    ) -> None:
        path = write_parquet("again.parquet", "SELECT 1 AS id")
        assert rows_of(workers, (bound("a.b", path),), "FROM a.b") == '"id"\n1\n'
        path.rename(path.with_suffix(".old"))
        write_parquet("again.parquet", "SELECT 1 AS id")

        assert rows_of(workers, (bound("a.b", path),), "FROM a.b") == '"id"\n1\n'

    def test_one_caller_gets_half_of_the_places_over_all_maps_and_another_the_rest(
        self, tmp_path: Path, views: ViewMap
    ) -> None:
        with pool(tmp_path, places=4, patience=0.0) as workers:
            mine = [
                workers.run(each, LARGE, Encoding(OutputFormat.ARROW), caller="ann")
                for each in (NOTHING, views)
            ]
            for each in (NOTHING, views):
                with pytest.raises(ServiceBusy):
                    workers.run(each, "SELECT 1", Encoding(OutputFormat.ARROW), caller="ann")
            others = [
                workers.run(each, LARGE, Encoding(OutputFormat.ARROW), caller="ben")
                for each in (NOTHING, views)
            ]
            mine[0].close()
            mine.append(workers.run(views, LARGE, Encoding(OutputFormat.ARROW), caller="ann"))
            for stream in (*mine, *others):
                stream.close()

    def test_an_idle_worker_is_no_way_past_the_bound_of_a_caller(
        self, tmp_path: Path, views: ViewMap
    ) -> None:
        with pool(tmp_path, places=2, patience=0.0) as workers:
            rows_of(workers, NOTHING, "SELECT 1")
            busy = workers.run(views, LARGE, Encoding(OutputFormat.ARROW))
            with pytest.raises(ServiceBusy):
                workers.run(NOTHING, "SELECT 1", Encoding(OutputFormat.ARROW))
            busy.close()

    def test_two_queries_on_one_map_run_side_by_side_up_to_half_of_the_places(
        self, tmp_path: Path
    ) -> None:
        with pool(tmp_path, places=4, patience=0.0) as workers:
            first = workers.run(NOTHING, LARGE, Encoding(OutputFormat.ARROW))
            second = workers.run(NOTHING, LARGE, Encoding(OutputFormat.ARROW))
            assert first.pid != second.pid
            with pytest.raises(ServiceBusy):
                workers.run(NOTHING, "SELECT 1", Encoding(OutputFormat.ARROW))
            first.close()
            assert rows_of(workers, NOTHING, "SELECT 1 AS a") == '"a"\n1\n'
            second.close()

    def test_a_waiting_query_gets_the_worker_that_becomes_free(self, tmp_path: Path) -> None:
        with pool(tmp_path, places=1, patience=20.0) as workers:
            first = workers.run(NOTHING, LARGE, Encoding(OutputFormat.ARROW))
            answers: list[str] = []
            waiting = threading.Thread(
                target=lambda: answers.append(rows_of(workers, NOTHING, "SELECT 2 AS a"))
            )
            waiting.start()
            assert len(list(first)) > 1
            waiting.join(timeout=30)
            assert answers == ['"a"\n2\n']

    def test_idle_workers_are_kept_while_all_together_stay_within_their_memory(
        self, tmp_path: Path, views: ViewMap, write_parquet: WriteParquet, bound: Bind
    ) -> None:
        other = (bound("leeds.housing", write_parquet("o.parquet", "SELECT 1 AS id")),)
        with pool(tmp_path) as workers:
            one = own_memory(pid_of(workers, views))
        with pool(tmp_path, places=1, memory=one * 5 // 2) as workers:
            first, second = pid_of(workers, views), pid_of(workers, other)
            assert pid_of(workers, views) == first
            third = pid_of(workers, NOTHING)
            wait_for_end(second)
            assert (pid_of(workers, views), pid_of(workers, NOTHING)) == (first, third)


def pid_of(workers: QueryWorkers, views: ViewMap) -> int:
    """The process that answers for the map."""
    with workers.run(views, "SELECT 1", Encoding(OutputFormat.CSV)) as stream:
        assert b"".join(stream)
    return stream.pid


def own_memory(pid: int) -> int:
    """Bytes of memory that the process holds and shares with no file."""
    held, of_files = map(int, Path(f"/proc/{pid}/statm").read_text().split()[1:3])
    return (held - of_files) * os.sysconf("SC_PAGE_SIZE")


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_for_end(pid)


class TestKilledWhileNobodyAsked:
    def test_an_idle_worker_that_dies_as_it_is_asked_costs_nobody_an_answer(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        killed: list[int] = []
        fit = BoundWorker.fit

        def fit_for_the_last_time(worker: BoundWorker) -> bool:
            found = fit(worker)
            killed.append(worker.pid)
            kill(worker.pid)
            return found

        with pool(tmp_path) as workers:
            rows_of(workers, NOTHING, "SELECT 1")
            monkeypatch.setattr(BoundWorker, "fit", fit_for_the_last_time)
            assert rows_of(workers, NOTHING, "SELECT 2 AS a") == '"a"\n2\n'
            assert len(killed) == 1

    def test_a_spare_that_dies_as_it_is_bound_is_replaced(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        killed: list[int] = []
        warm = ConfinedProcess.warm

        def warm_once(process: ConfinedProcess) -> None:
            warm(process)
            if not killed:
                killed.append(process.pid)
                kill(process.pid)

        monkeypatch.setattr(ConfinedProcess, "warm", warm_once)
        with pool(tmp_path) as workers:
            assert rows_of(workers, NOTHING, "SELECT 2 AS a") == '"a"\n2\n'
            assert len(killed) == 1

    def test_a_statement_is_tried_once_more_and_not_for_ever(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[int] = []
        run = BoundWorker.run

        def run_and_die(worker: BoundWorker, *arguments: Any) -> Call:
            call = run(worker, *arguments)
            asked.append(worker.pid)
            kill(worker.pid)
            return call

        with pool(tmp_path) as workers:
            rows_of(workers, NOTHING, "SELECT 1")
            monkeypatch.setattr(BoundWorker, "run", run_and_die)
            endless = "SELECT count(*) FROM range(1000000000) a, range(1000000000) b"
            with pytest.raises(WorkerLost):
                workers.run(NOTHING, endless, Encoding(OutputFormat.CSV))
            assert len(set(asked)) == 2

    def test_a_parser_that_was_killed_is_replaced(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        started: list[ConfinedProcess] = []
        warm = ConfinedProcess.warm

        def keep(process: ConfinedProcess) -> None:
            started.append(process)
            warm(process)

        monkeypatch.setattr(ConfinedProcess, "warm", keep)
        with pool(tmp_path) as workers:
            workers.parse("SELECT 1")
            kill(started[0].pid)
            assert workers.parse("SELECT 2").sql == "SELECT 2"


class TestCutResults:
    @pytest.mark.parametrize("output", ENCODINGS)
    @pytest.mark.parametrize("after", [0, 1, 3])
    def test_a_killed_worker_never_looks_like_a_complete_result(
        self, workers: QueryWorkers, output: Encoding, after: int
    ) -> None:
        stream = workers.run(NOTHING, LARGE, output)
        pieces = [next(stream) for _ in range(after)]
        os.kill(stream.pid, signal.SIGKILL)

        with pytest.raises(WorkerLost):
            pieces.extend(stream)
        assert stream.rows == 0
        assert rows_of(workers, NOTHING, "SELECT 1 AS a") == '"a"\n1\n'

    def test_another_thread_can_end_a_stream_that_is_waited_for(
        self, workers: QueryWorkers
    ) -> None:
        endless = "levenshtein(repeat('a', 300000), repeat('b', 300000 + i % 2))"
        sql = f"SELECT CASE WHEN i < 900000 THEN i ELSE {endless} END AS n FROM range(1000000) t(i)"
        stream = workers.run(NOTHING, sql, Encoding(OutputFormat.CSV))
        threading.Timer(0.3, stream.close).start()

        with pytest.raises(WorkerLost):
            list(stream)

    def test_rows_and_bytes_are_known_at_the_end(self, workers: QueryWorkers) -> None:
        stream = workers.run(NOTHING, LARGE, Encoding(OutputFormat.ARROW))
        size = sum(map(len, stream))

        assert (stream.rows, stream.bytes) == (3_000_000, size)


class TestLimits:
    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT count(*) FROM range(100000000000) a, range(1000) b",
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n FROM r) SELECT count(*) FROM r",
            "SELECT levenshtein(repeat('a', 300000), repeat('b', 300000))",
        ],
    )
    def test_a_query_ends_at_its_deadline_and_the_next_one_works(
        self, workers: QueryWorkers, sql: str
    ) -> None:
        workers.parse(sql)
        with pytest.raises(QueryTimedOut):
            workers.run(NOTHING, sql, Encoding(OutputFormat.ARROW), deadline=0.5)

        assert rows_of(workers, NOTHING, "SELECT 1 AS a") == '"a"\n1\n'

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT length(repeat('x', 2000000000)) + length(repeat('y', 2000000000))",
            "SELECT list(repeat('x', 1000) || i) FROM range(100000000) t(i)",
        ],
    )
    def test_memory_is_watched_from_outside(self, workers: QueryWorkers, sql: str) -> None:
        with pytest.raises((QueryTooLarge, QueryTimedOut)):
            workers.run(NOTHING, sql, Encoding(OutputFormat.ARROW))

        assert rows_of(workers, NOTHING, "SELECT 1 AS a") == '"a"\n1\n'

    def test_the_watch_and_not_the_engine_ends_what_ignores_the_engines_limit(
        self, tmp_path: Path
    ) -> None:
        limits = msgspec.structs.replace(SMALL, memory=400 * 1024**2)
        sql = "SELECT length(lpad('x', 2000000000, 'y'))"
        with pool(tmp_path, limits) as workers, pytest.raises(QueryTooLarge, match="400 MiB"):
            workers.run(NOTHING, sql, Encoding(OutputFormat.ARROW))

    def test_spilling_is_bounded(self, tmp_path: Path) -> None:
        limits = msgspec.structs.replace(SMALL, memory=300 * 1024**2, scratch=50 * 1024**2)
        sql = "SELECT * FROM range(30000000) t(i) ORDER BY hash(i)"
        with pool(tmp_path, limits) as workers, pytest.raises(QueryTooLarge):
            list(workers.run(NOTHING, sql, Encoding(OutputFormat.ARROW)))

    def test_a_result_is_bounded_in_bytes(self, tmp_path: Path) -> None:
        limits = msgspec.structs.replace(SMALL, result=2 * 1024**2)
        with pool(tmp_path, limits) as workers:
            stream = workers.run(NOTHING, LARGE, Encoding(OutputFormat.CSV))
            with pytest.raises(QueryTooLarge):
                list(stream)

    def test_a_result_that_nobody_reads_is_ended(self, tmp_path: Path) -> None:
        limits = msgspec.structs.replace(SMALL, stall=0.2)
        with pool(tmp_path, limits) as workers:
            stream = workers.run(NOTHING, LARGE, Encoding(OutputFormat.CSV))
            rows_of(workers, NOTHING, "SELECT 1")  # waits for the only place
            with pytest.raises(QueryTimedOut, match="not read on"):
                list(stream)

    def test_reading_slowly_is_bounded_in_all_however_short_each_wait(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The process takes no time here, and its reader a second for each piece."""
        clock = [0.0]
        monkeypatch.setattr(watch, "monotonic", lambda: clock[0])
        budget = Budget(1.0, msgspec.structs.replace(SMALL, stall=2.0, delivery=10.0))
        for _ in range(10):
            budget.wait()
            budget.arrive()
            clock[0] += 1.0
            assert budget.overstepped() is None
        budget.wait()
        assert budget.overstepped() is None
        budget.arrive()
        clock[0] += 0.5

        problem = budget.overstepped()
        assert isinstance(problem, QueryTimedOut)
        assert "10 seconds in all" in problem.detail

    def test_a_result_that_is_read_too_slowly_is_ended(self, tmp_path: Path) -> None:
        with pool(tmp_path, msgspec.structs.replace(SMALL, delivery=0.2)) as workers:
            stream = workers.run(NOTHING, LARGE, Encoding(OutputFormat.CSV))
            rows_of(workers, NOTHING, "SELECT 1")  # waits for the only place
            with pytest.raises(QueryTimedOut, match="in all"):
                list(stream)

    def test_a_large_result_passes_through_little_memory(self, workers: QueryWorkers) -> None:
        stream = workers.run(NOTHING, LARGE, Encoding(OutputFormat.JSON))
        for piece in stream:
            assert len(piece) <= 8 * 1024**2
        status = Path(f"/proc/{stream.pid}/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))

        assert int(peak.split()[1]) * 1024 < 400 * 1024**2


class TestErrors:
    def test_an_error_after_the_first_rows_of_a_small_result_is_raised_by_run(
        self, workers: QueryWorkers
    ) -> None:
        sql = "SELECT CASE WHEN i = 250000 THEN 'abc' ELSE '1' END::INT FROM range(300000) t(i)"

        with pytest.raises(QueryFailed, match="Could not convert string 'abc'"):
            list(workers.run(NOTHING, sql, Encoding(OutputFormat.ARROW)))

    def test_a_worker_lives_on_after_an_error_of_the_statement(self, workers: QueryWorkers) -> None:
        with workers.run(NOTHING, "SELECT 1", Encoding(OutputFormat.CSV)) as stream:
            list(stream)
        with pytest.raises(QueryFailed):
            workers.run(NOTHING, "SELECT missing", Encoding(OutputFormat.CSV))
        with workers.run(NOTHING, "SELECT 1", Encoding(OutputFormat.CSV)) as again:
            list(again)

        assert again.pid == stream.pid

    def test_no_error_tells_where_files_lie(
        self, workers: QueryWorkers, tmp_path: Path, bound: Bind
    ) -> None:
        broken = tmp_path / "broken.parquet"
        broken.write_bytes(b"PAR1 this is not Parquet PAR1")

        with pytest.raises(QueryFailed) as failed:
            workers.run((bound("a.b", broken),), "FROM a.b", Encoding(OutputFormat.CSV))
        assert str(tmp_path) not in failed.value.detail
        assert "a.b" in failed.value.detail

    @pytest.mark.parametrize(
        "change", ["ATTACH ':memory:' AS other", "CREATE TEMP MACRO lower(x) AS 'changed'"]
    )
    def test_what_slips_past_the_check_changes_nothing_for_the_next_query(
        self, workers: QueryWorkers, change: str
    ) -> None:
        with suppress(QueryFailed):
            list(workers.run(NOTHING, change, Encoding(OutputFormat.CSV)))
        sql = "SELECT lower('A') AS a, (SELECT count(*) FROM duckdb_databases()) AS n"

        assert rows_of(workers, NOTHING, sql) == '"a","n"\n"a",3\n'
