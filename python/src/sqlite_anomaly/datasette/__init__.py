"""The Datasette plugin: classification in SQL, canned queries, and a page of detections with their acknowledgement.

The hooks are all here. `connections` makes a connection safe for SQL of strangers, `detections` reads what the page
shows, `chart` draws it, `pages` answers requests, `canned` reads the queries that the package carries and `settings` the metadata.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from datasette import hookimpl
from datasette.utils import actor_matches_allow

from sqlite_anomaly.datasette import canned, connections, detections, pages
from sqlite_anomaly.datasette.settings import settings

Links = Callable[[], Awaitable[list[dict[str, str]]]]


@hookimpl
def startup(datasette: Any) -> None:
    """Refuses to start without the extension, with a model that does not answer, or with settings that are none."""
    connections.check(datasette)


@hookimpl(trylast=True)
def prepare_connection(conn: Any, datasette: Any) -> None:
    """Loads the extension into every connection, and holds what its SQL may do."""
    connections.prepare(conn, datasette)


@hookimpl
def register_routes() -> list[tuple[str, Any]]:
    """The pages."""
    return [
        (r"^/-/anomalies$", pages.index),
        (r"^/-/anomalies/(?P<database>[^/]+)$", pages.anomalies),
        (r"^/-/anomalies/(?P<database>[^/]+)/acknowledge$", pages.acknowledge),
    ]


@hookimpl
def permission_allowed(datasette: Any, actor: dict[str, Any] | None, action: str, resource: Any) -> Any:
    """Who may acknowledge: whom the plugin's `allow_acknowledge` names. Who may see a query that comes along."""
    if action == "view-query":
        return partial(pages.view_query, datasette, actor, *resource)
    if action != pages.ACKNOWLEDGE:
        return None
    return actor_matches_allow(actor, settings(datasette)["allow_acknowledge"]) or None


@hookimpl
def canned_queries(datasette: Any, database: str) -> Callable[[], Awaitable[dict[str, Any]]]:
    """The queries that come with the package, for a database that has the tables; those of the metadata go first."""

    async def queries() -> dict[str, Any]:
        if not await detections.are_in(datasette.get_database(database)):
            return {}
        own = datasette.metadata("queries", database=database, fallback=False) or {}
        return {name: own.get(name, query) for name, query in canned.queries().items()}

    return queries


@hookimpl
def menu_links(datasette: Any, actor: dict[str, Any] | None) -> Links:
    """A link to the page, where there is anything that this visitor may see."""

    async def links() -> list[dict[str, str]]:
        href = datasette.urls.path("/-/anomalies")
        return [{"href": href, "label": "Anomalies"}] if await pages.databases(datasette, actor) else []

    return links


@hookimpl
def database_actions(datasette: Any, database: str) -> list[dict[str, str]]:
    """A link to the page of this database."""
    return [{"href": pages.path(datasette, database), "label": "Anomalies"}]
