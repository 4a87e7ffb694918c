"""The catalogue's values in the words of the wire.

Column statistics and object keys stay behind: the smallest and largest value of a column would tell
callers about rows that they may not see.
"""

import msgspec

from access_policies import scope_sentences
from access_policies.scope import TableScope
from catalogue.address import DatasetAddress
from catalogue.dataset import Dataset, Release, ReleaseTable
from catalogue.table_schema import Column
from marketplace.discovery import DatasetView, shown_under
from marketplace.publish import Published
from marketplace.wire import (
    ColumnDescription,
    DatasetDescription,
    DatasetSummary,
    PublishedRelease,
    ReleaseDescription,
    TableDescription,
)


def summary(dataset: Dataset) -> DatasetSummary:
    """A dataset in a list."""
    return DatasetSummary(
        address=str(dataset.address),
        title=dataset.title,
        description=dataset.description,
        licence=dataset.licence,
        access_rights=dataset.access_rights,
        official_sensitive=dataset.official_sensitive,
        handling=dataset.handling,
    )


def description(view: DatasetView) -> DatasetDescription:
    """One dataset with its newest release and what the caller may do with it."""
    return DatasetDescription(
        **msgspec.structs.asdict(summary(view.dataset)),
        release=release_description(view.release, view.agreed, tables=view.schema_shown),
        readable=view.readable,
        reason=view.reason,
    )


def release_description(
    release: Release, agreed: tuple[TableScope, ...] = (), *, tables: bool = True
) -> ReleaseDescription:
    """One release with its tables, and how far the columns of those that are agreed are shown.

    Without `tables`, for whoever may read about a dataset and not see its columns.
    """
    scopes = {scope.table: scope for scope in agreed}
    return ReleaseDescription(
        dataset=str(release.dataset),
        number=release.number,
        published_at=release.published_at,
        manifest=release.manifest_digest,
        notes=release.notes,
        tables=tuple(
            _table(release.dataset, table, scopes.get(table.name))
            for table in (release.tables if tables else ())
        ),
    )


def published_release(published: Published) -> PublishedRelease:
    """A release that was just committed."""
    return PublishedRelease(
        release=release_description(published.release),
        table=_table(published.release.dataset, published.table),
        inferred=published.notes,
    )


def _table(
    dataset: DatasetAddress, table: ReleaseTable, agreed: TableScope | None = None
) -> TableDescription:
    return TableDescription(
        name=table.name,
        address=str(dataset.table(table.name)),
        contract_version=table.contract_version,
        rows=table.rows,
        bytes=sum(file.bytes for file in table.files),
        columns=tuple(_column(column, agreed) for column in table.schema.columns),
        sort=table.schema.sort,
    )


def _column(column: Column, agreed: TableScope | None) -> ColumnDescription:
    if agreed is None:
        return ColumnDescription(**msgspec.structs.asdict(column))
    shown = msgspec.structs.asdict(shown_under(agreed, column))
    return ColumnDescription(**shown, shown=_how(column, agreed))


def _how(column: Column, agreed: TableScope) -> str:
    """How far a column is shown; nothing where it is shown as it is."""
    if column.name not in agreed.columns:
        return "not agreed"
    mask = agreed.mask(column.name)
    return "" if mask is None else scope_sentences.of_mask(mask)
