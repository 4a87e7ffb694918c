"""From a table of texts (CSV, or the cells of a sheet) to typed Parquet.

The bulk is read once: types are inferred from the first rows, the Parquet is written with every
value checked, and only where a later value does not fit are the types inferred from all values
and the file written again.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from uuid import uuid4

import duckdb

from catalogue.errors import ContractBroken
from catalogue.table_schema import TableSchema
from marketplace.engine.ingest.column_names import columns_meant, name_columns, title_of
from marketplace.engine.ingest.column_plan import ColumnPlan, count_kinds
from marketplace.engine.ingest.column_types import AREA_CODE, Conventions
from marketplace.engine.ingest.ingest_job import Ingested, IngestOptions, Progress
from marketplace.engine.ingest.parquet_writing import rows_of_a_group, write_parquet
from marketplace.engine.ingest.plain_csv import PlainCsv
from marketplace.engine.ingest.table_rows import (
    FINDINGS_SHOWN,
    Headings,
    Rows,
    TableRows,
    lines_of,
    write_plain_csv,
)
from marketplace.engine.instance import identifier, literal
from marketplace.engine.written_file import WrittenFile
from marketplace.errors import FileUnreadable

_AREA_CODE_SHARE = 0.95
_SHOWN_VALUE = 60
_TAIL = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """A table of texts: its rows with their lines, and the file as DuckDB may read it.

    `source` None means that the rows must be rewritten before DuckDB can read them.
    """

    rows: Rows
    headings: Headings
    path: Path
    delimiter: str
    records: int | None
    line_ends: bool
    notes: tuple[str, ...]


class _Distrusted(Exception):
    """DuckDB does not read the file as it stands, or not as many records as there are."""


class TextTableReading:
    """One reading of a text table. Use it once."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        table: TextTable,
        *,
        into: Path,
        scratch: Path,
        contract: TableSchema | None,
        options: IngestOptions,
        report: Callable[[Progress], None],
    ) -> None:
        self._connection = connection
        self._table = table
        self._into = into
        self._scratch = scratch
        self._contract = contract
        self._options = options
        self._report = report
        self._conventions = Conventions(
            **({"date_order": options.date_order} if options.date_order else {}),
            grouped=table.delimiter != ";",
        )
        self._unfit = f"unfit-{uuid4().hex}-"
        texts = [table.headings.texts[position] for position in table.headings.named]
        self._names = name_columns(texts, contract)
        self._titles = dict(zip(self._names, map(title_of, texts), strict=True))
        self._as_text = columns_meant(options.text_columns, self._titles, option="text_columns")
        self._refuse_missing_columns()

    def run(self) -> Ingested:
        """Read and write the table. Raises FileUnreadable and ContractBroken."""
        if self._table.records is not None:
            for parallel in (True, False) if self._table.line_ends else (True,):
                with suppress(_Distrusted):
                    return self._ingest(self._as_it_stands(parallel=parallel), ())
        plain, notes = self._rewritten()
        try:
            return self._ingest(plain, notes)
        except _Distrusted as error:
            raise FileUnreadable(
                "The table cannot be read for certain: it was read twice with different results.",
                next_step="Save it as CSV in UTF-8 with every cell in double quotes, or as Parquet.",
            ) from error

    def _refuse_missing_columns(self) -> None:
        contract = self._contract.columns if self._contract else ()
        missing = [column for column in contract if column.name not in self._titles]
        if missing:
            raise ContractBroken(
                "The file does not have every column that the dataset's contract names.",
                next_step="Add them, or publish another dataset. A renamed column is a missing one.",
                lines=[
                    f'The column "{column.name}" ({column.type}) is missing.' for column in missing
                ],
            )

    def _as_it_stands(self, *, parallel: bool) -> PlainCsv:
        table = self._table
        above = table.headings.record + 1
        return PlainCsv(
            path=table.path,
            delimiter=table.delimiter,
            skip=above,
            width=len(table.headings.texts),
            columns=tuple(zip(table.headings.named, self._names, strict=True)),
            records=(table.records or 0) - above,
            parallel=parallel,
        )

    def _table_rows(self) -> TableRows:
        return TableRows(self._table.rows, self._table.headings, self._options.last_line)

    def _rewritten(self) -> tuple[PlainCsv, tuple[str, ...]]:
        path = self._scratch / "plain.csv"
        rows = self._table_rows()
        records, line_ends = write_plain_csv(rows, path)
        plain = PlainCsv(
            path=path,
            delimiter=",",
            skip=0,
            width=len(self._names),
            columns=tuple(enumerate(self._names)),
            records=records,
            parallel=not line_ends,
            record_end="\\n",
        )
        return plain, _blank_note(rows.blank)

    def _ingest(self, plain: PlainCsv, notes: tuple[str, ...]) -> Ingested:
        try:
            plans = self._plan(plain)
            file, plans = self._write(plain, plans)
        except duckdb.InvalidInputException as error:
            raise _Distrusted from error
        notes += self._reconciled(plain, file.rows)
        if file.rows == 0 and self._contract is None:
            raise FileUnreadable(
                "The file has column headings but no rows, so its types cannot be known.",
                next_step="Publish a first release that has rows.",
            )
        self._refuse_notes_below(file, plans)
        plans = self._counted(plain, plans)
        place = self._place_column(file, plans)
        schema = TableSchema(columns=tuple(plan.column(place=plan.name == place) for plan in plans))
        return Ingested(
            schema=schema,
            files=(file,),
            notes=(*self._table.notes, *self._dropped(), *notes, *_column_notes(plans, place)),
            rows=file.rows,
        )

    def _plan(self, plain: PlainCsv) -> list[ColumnPlan]:
        kinds = count_kinds(
            self._connection, plain.relation(limit=plain.sample), self._names, self._conventions
        )
        contract = (
            {column.name: column for column in self._contract.columns} if self._contract else {}
        )
        plans = [
            ColumnPlan.begin(
                name,
                self._titles[name],
                kinds[name],
                self._conventions,
                contract.get(name),
                as_text=name in self._as_text,
            )
            for name in self._ordered()
        ]
        silent = [plan.name for plan in plans if plan.open]
        return self._seen_all(plain, plans, silent) if plain.records > plain.sample else plans

    def _ordered(self) -> Sequence[str]:
        """The contract's columns in its order, then the added ones."""
        known = self._contract.names if self._contract else ()
        return (*known, *(name for name in self._names if name not in known))

    def _seen_all(
        self, plain: PlainCsv, plans: Sequence[ColumnPlan], names: Sequence[str]
    ) -> list[ColumnPlan]:
        """The plans after all values of the named columns were looked at."""
        if not names:
            return list(plans)
        self._tell("looking at all values", 0, plain)
        relation = plain.relation(only=tuple(names))
        kinds = count_kinds(self._connection, relation, names, self._conventions)
        return [plan.seen(kinds[plan.name]) if plan.name in kinds else plan for plan in plans]

    def _write(
        self, plain: PlainCsv, plans: list[ColumnPlan]
    ) -> tuple[WrittenFile, list[ColumnPlan]]:
        """Write the Parquet; where a value does not fit, look at all values and write again."""
        seen_all = plain.records <= plain.sample
        while True:
            try:
                return self._copy(plain, plans), plans
            except duckdb.InvalidInputException as error:
                found = re.search(f"{self._unfit}([a-z0-9_]+)", str(error))
                if found is None:
                    raise
            unfit = next(plan for plan in plans if plan.name == found[1])
            if not seen_all:
                seen_all = True
                misfits = self._misfits(plain, plans)
                plans = self._seen_all(plain, plans, [name for name in misfits if misfits[name]])
            elif unfit.contract is None:
                plans = [plan.as_text() if plan is unfit else plan for plan in plans]
            else:
                raise self._contract_broken(plain, plans)

    def _copy(self, plain: PlainCsv, plans: Sequence[ColumnPlan]) -> WrittenFile:
        values = ", ".join(plan.value(f"{self._unfit}{plan.name}") for plan in plans)
        path = self._into / "table.parquet"
        path.unlink(missing_ok=True)
        return write_parquet(
            self._connection,
            f"(SELECT {values} FROM {plain.relation()})",
            path,
            rows_of_a_group=rows_of_a_group(plain.row_bytes),
            report=lambda share: self._tell("reading", share, plain),
        )

    def _tell(self, stage: str, share: float, plain: PlainCsv) -> None:
        total = plain.path.stat().st_size
        self._report(Progress(stage=stage, done_bytes=int(total * share), total_bytes=total))

    def _reconciled(self, plain: PlainCsv, rows: int) -> tuple[str, ...]:
        """Compare with the independent count of records. Raises _Distrusted."""
        if rows == plain.records:
            return ()
        found = self._connection.execute(f"SELECT count(*) FROM {plain.scan()}").fetchone()
        if found is None or found[0] != plain.records:
            raise _Distrusted
        return _blank_note(plain.records - rows)

    def _misfits(self, plain: PlainCsv, plans: Sequence[ColumnPlan]) -> dict[str, int]:
        """For each column, how many of its values do not fit its type."""
        counts = ", ".join(f"count_if({plan.misfits()})" for plan in plans)
        only = tuple(plan.name for plan in plans)
        (found,) = self._connection.execute(
            f"SELECT {counts} FROM {plain.relation(only=only)}"
        ).fetchall()
        return {plan.name: count for plan, count in zip(plans, found, strict=True)}

    def _contract_broken(self, plain: PlainCsv, plans: Sequence[ColumnPlan]) -> ContractBroken:
        fixed = [plan for plan in plans if plan.contract is not None]
        total = sum(self._misfits(plain, fixed).values())
        texts = ", ".join(
            f"CASE WHEN {plan.misfits()} THEN {identifier(plan.name)} END" for plan in fixed
        )
        rows = self._connection.execute(
            f"SELECT row, texts FROM (SELECT row_number() OVER () - 1 AS row, [{texts}] AS texts "
            f"FROM {plain.relation()}) WHERE list_count(texts) > 0 ORDER BY row LIMIT {FINDINGS_SHOWN}"
        ).fetchall()
        lines = lines_of(self._table_rows(), (row for row, _ in rows))
        findings = [
            f'{self._table.rows.unit} {lines.get(row, "?")}: column "{plan.title}": '
            f"{text[:_SHOWN_VALUE]!r} is not {plan.expectation()}"
            for row, texts in rows
            for plan, text in zip(fixed, texts, strict=True)
            if text is not None
        ][:FINDINGS_SHOWN]
        more = [f"and {total - len(findings):,} more"] if total > len(findings) else []
        return ContractBroken(
            f"{total:,} value{'s do' if total > 1 else ' does'} not fit the dataset's contract.",
            next_step="Correct the file. A change of type is a new dataset.",
            lines=(*findings, *more),
        )

    def _counted(self, plain: PlainCsv, plans: Sequence[ColumnPlan]) -> list[ColumnPlan]:
        """Plans whose markers are counted over all rows."""
        partial = [
            plan.name
            for plan in plans
            if plan.markers and sum(plan.kinds.values()) <= plain.sample < plain.records
        ]
        if not partial:
            return list(plans)
        kinds = count_kinds(
            self._connection, plain.relation(only=tuple(partial)), partial, self._conventions
        )
        return [
            replace(plan, kinds=kinds[plan.name]) if plan.name in kinds else plan for plan in plans
        ]

    def _place_column(self, file: WrittenFile, plans: Sequence[ColumnPlan]) -> str | None:
        if self._contract is not None:
            place = self._contract.place_column
            return place.name if place else None
        candidates = [plan.name for plan in plans if plan.may_be_place]
        return first_place_column(self._connection, file.path, candidates)

    def _refuse_notes_below(self, file: WrittenFile, plans: Sequence[ColumnPlan]) -> None:
        """Raise where the table seems to end in footnotes: far fewer cells filled than above."""
        if len(plans) < 3 or self._options.last_line is not None:
            return
        filled = " + ".join(f"({identifier(plan.name)} IS NOT NULL)::INTEGER" for plan in plans)
        tail = self._connection.execute(
            f"SELECT {filled} FROM read_parquet({literal(str(file.path))}, file_row_number = true) "
            f"WHERE file_row_number >= {file.rows - _TAIL} ORDER BY file_row_number"
        ).fetchall()
        usual = median(row[0] for row in tail) if tail else 0
        sparse = 0
        while sparse < len(tail) and tail[-1 - sparse][0] * 4 < max(usual, 5):
            sparse += 1
        if not 0 < sparse < len(tail):
            return
        lines = sorted(lines_of(self._table_rows(), range(file.rows - sparse, file.rows)).values())
        unit = self._table.rows.unit
        raise FileUnreadable(
            f"The table seems to end before {unit} {lines[0]}: from there on nearly all cells are "
            "empty, as in totals and footnotes.",
            next_step="Remove what is below the table, or set last_line to its last "
            f"{unit} ({lines[-1]} if these rows belong to it).",
        )

    def _dropped(self) -> tuple[str, ...]:
        empty = len(self._table.headings.texts) - len(self._names)
        if not empty:
            return ()
        one = empty == 1
        return (
            (
                f"{empty:,} column{'' if one else 's'} without heading and without any value "
                f"{'was' if one else 'were'} left out."
            ),
        )


def first_place_column(
    connection: duckdb.DuckDBPyConnection, path: Path, candidates: Sequence[str]
) -> str | None:
    """The first column of a Parquet file whose values are area codes, nearly all of them."""
    for name in candidates:
        x = identifier(name)
        # Few codes stand in many rows: each is matched once.
        found = connection.execute(
            f"SELECT sum(rows), sum(rows) FILTER (regexp_full_match({x}, '{AREA_CODE}')) FROM "
            f"(SELECT {x}, count({x}) AS rows FROM read_parquet({literal(str(path))}) GROUP BY {x})"
        ).fetchone()
        if found and found[0] and (found[1] or 0) >= _AREA_CODE_SHARE * found[0]:
            return name
    return None


def _blank_note(blank: int) -> tuple[str, ...]:
    if not blank:
        return ()
    return (f"{blank:,} row{'' if blank == 1 else 's'} without any value left out.",)


def _column_notes(plans: Sequence[ColumnPlan], place: str | None) -> list[str]:
    notes = [f'Column "{plan.name}": {plan.note}.' for plan in plans if plan.note]
    read_as_null: dict[str, list[str]] = defaultdict(list)
    for plan in plans:
        for marker, count in sorted(plan.markers.items()):
            read_as_null[marker].append(f"{plan.name} ({count:,})")
    notes += [
        f'"{marker}" was read as no value in {", ".join(columns)}.'
        for marker, columns in sorted(read_as_null.items())
    ]
    if place is not None:
        notes.append(f'Column "{place}" holds area codes; rows can be scoped by place with it.')
    return notes
