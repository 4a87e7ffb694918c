"""What the caller may know of: datasets, their descriptions and releases."""

from typing import Annotated

from litestar import get
from litestar.params import FromPath, QueryParameter

from access_policies.vocabulary import Action
from catalogue.address import DatasetAddress
from marketplace.api.call import Given
from marketplace.api.descriptions import description, release_description, summary
from marketplace.discovery import Discovery
from marketplace.identity.principal import Principal
from marketplace.wire import DatasetDescription, DatasetSummary, ReleaseDescription

_Words = Annotated[
    str, QueryParameter(description="Every word must occur in the address, title or description.")
]


@get("/datasets", opt={"action": Action.DISCOVER}, sync_to_thread=True, tags=["Find"])
def search_datasets(
    principal: Given[Principal], discovery: Given[Discovery], words: _Words = ""
) -> list[DatasetSummary]:
    """List the datasets that the caller may know of."""
    return [summary(dataset) for dataset in discovery.search(principal, words)]


@get(
    "/datasets/{organisation:str}/{dataset:str}",
    opt={"action": Action.READ_METADATA},
    sync_to_thread=True,
    tags=["Find"],
)
def describe_dataset(
    organisation: FromPath[str],
    dataset: FromPath[str],
    principal: Given[Principal],
    discovery: Given[Discovery],
) -> DatasetDescription:
    """Describe one dataset, its newest release, and whether the caller may query it."""
    return description(discovery.dataset(principal, DatasetAddress(organisation, dataset)))


@get(
    "/datasets/{organisation:str}/{dataset:str}/releases",
    opt={"action": Action.READ_SCHEMA},
    sync_to_thread=True,
    tags=["Find"],
)
def list_releases(
    organisation: FromPath[str],
    dataset: FromPath[str],
    principal: Given[Principal],
    discovery: Given[Discovery],
) -> list[ReleaseDescription]:
    """List the releases of one dataset, newest first."""
    found = discovery.releases(principal, DatasetAddress(organisation, dataset))
    return [release_description(release) for release in found]


@get(
    "/datasets/{organisation:str}/{dataset:str}/releases/{number:int}",
    opt={"action": Action.READ_SCHEMA},
    sync_to_thread=True,
    tags=["Find"],
)
def describe_release(
    organisation: FromPath[str],
    dataset: FromPath[str],
    number: FromPath[int],
    principal: Given[Principal],
    discovery: Given[Discovery],
) -> ReleaseDescription:
    """Describe one release of one dataset."""
    address = DatasetAddress(organisation, dataset)
    return release_description(discovery.release(principal, address, number))
