"""The pages: where there are detections, those of one database, and the acknowledgement of one."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

from datasette import Forbidden, NotFound, Response
from datasette.database import QueryInterrupted
from datasette.utils import tilde_decode, tilde_encode
from datasette.utils.sqlite import sqlite3

from sqlite_anomaly.datasette import canned
from sqlite_anomaly.datasette.chart import Chart, chart, unit_of
from sqlite_anomaly.datasette.connections import unrestricted
from sqlite_anomaly.datasette.detections import PAGE, Detections, Filters, are_in, obstacle

ACKNOWLEDGE = "anomaly-acknowledge"
# Where none are given, the notes that it has stay.
ACKNOWLEDGEMENT = """
SELECT anomaly_acknowledge(:id, coalesce(nullif(:notes, ''), (SELECT max(notes) FROM detections WHERE id = :id)))
"""
TABLE = "detections"
# What the queries that come along read. Datasette asks nobody's leave for the tables of a canned query.
QUERIED_TABLES = [TABLE, "log_entries", "anomaly_runs"]


def path(datasette: Any, database: str, suffix: str = "") -> str:
    """The path of a database's page."""
    route = datasette.get_database(database).route
    return str(datasette.urls.path(f"/-/anomalies/{tilde_encode(route)}{suffix}"))


async def databases(datasette: Any, actor: dict[str, Any] | None) -> list[str]:
    """The databases that have detections which this visitor may see."""
    return [
        name
        for name, database in datasette.databases.items()
        if name != "_internal" and await are_in(database) and await _may_see(datasette, actor, name)
    ]


async def view_query(datasette: Any, actor: dict[str, Any] | None, database: str, name: str) -> bool | None:
    """Refuses a query that comes with the package where this visitor may not see every table that it reads."""
    is_carried = name in await _carried(datasette, actor, database)
    return False if is_carried and not await _may_query(datasette, actor, database) else None


async def index(datasette: Any, request: Any) -> Response:
    """The databases that have detections, or the page of the only one."""
    names = await databases(datasette, request.actor)
    if len(names) == 1:
        return Response.redirect(path(datasette, names[0]))
    links = [(name, path(datasette, name)) for name in names]
    return await _html(datasette, request, "anomaly_databases.html", {"links": links})


async def anomalies(datasette: Any, request: Any) -> Response:
    """The detections of one database."""
    database = _database(datasette, request)
    await datasette.ensure_permissions(request.actor, _permissions(database.name))
    page = {"database": database.name, "path": path(datasette, database.name)}
    if not await are_in(database):
        page["obstacle"] = await obstacle(database)
        return await _html(datasette, request, "anomaly_missing.html", page)
    try:
        filters = Filters.from_query(request.args)
    except ValueError as error:
        page |= {"filters": Filters(), "problem": str(error)}
        return await _html(datasette, request, "anomaly_problem.html", page, 400)
    page |= {"filters": filters, "may_acknowledge": await _may_acknowledge(datasette, request.actor, database)}
    detections = Detections(database, filters)
    try:
        page |= await _content(detections, _page_number(request))
        if not page["figures"]["total"] and await _may_see(datasette, request.actor, database.name, "log_entries"):
            page["progress"] = await detections.progress()
    except QueryInterrupted:
        page["problem"] = "There are too many detections to read within this server's time limit. Name a range of time."
        return await _html(datasette, request, "anomaly_problem.html", page, 503)
    may_query = await _may_query(datasette, request.actor, database.name)
    queries = await _carried(datasette, request.actor, database.name) if may_query else {}
    page["queries"] = [(query["title"], datasette.urls.query(database.name, name)) for name, query in queries.items()]
    return await _html(datasette, request, "anomaly_detections.html", page)


async def acknowledge(datasette: Any, request: Any) -> Response:
    """Acknowledges the detection that the form names, and goes back to where the form was."""
    database = _database(datasette, request)
    if request.method != "POST":
        return Response.text("A detection is acknowledged by POST.", status=405, headers={"allow": "POST"})
    await datasette.ensure_permissions(request.actor, _permissions(database.name))
    if not await _may_acknowledge(datasette, request.actor, database):
        raise Forbidden(f"Permission denied: {ACKNOWLEDGE}")
    form = await request.post_vars()
    identifier, notes = form.get("id", ""), form.get("notes", "").strip()

    def write(connection: Any) -> bool:
        with unrestricted(connection):
            ((count,),) = connection.execute(ACKNOWLEDGEMENT, {"id": identifier, "notes": notes}).fetchall()
        return bool(count)

    try:
        if await database.execute_write_fn(write):
            datasette.add_message(request, "The detection was acknowledged.")
        else:
            datasette.add_message(request, f"There is no detection {identifier}.", datasette.WARNING)
    except sqlite3.Error as error:
        datasette.add_message(request, f"The detection was not acknowledged: {error}", datasette.ERROR)
    return Response.redirect(path(datasette, database.name) + _understood(form.get("query", "")))


def _understood(query_string: str) -> str:
    """What the page understands of a query string: nothing else goes into an address."""
    query = dict(parse_qsl(query_string))
    try:
        return Filters.from_query(query).query_string(page=query.get("page"))
    except ValueError:
        return ""


async def _content(detections: Detections, number: int) -> dict[str, Any]:
    rows, has_more = await detections.page(number)
    figures = await detections.figures()
    return {
        "figures": figures,
        "chart": await _chart(detections),
        "series": {label: index % 8 for index, label in enumerate(await detections.labels())},
        "sources": await detections.sources(),
        "criticals": await detections.criticals(),
        "rows": rows,
        "number": number,
        "last": -(-figures["total"] // PAGE),
        "has_more": has_more,
        "tilde": tilde_encode,
    }


async def _chart(detections: Detections) -> Chart | None:
    span = await detections.span()
    if span is None:
        return None
    unit = unit_of(*span)
    counts = await detections.counts(unit.form)
    # What spanned that time may have been deleted since.
    return chart(unit, *span, counts) if counts else None


def _database(datasette: Any, request: Any) -> Any:
    try:
        return datasette.get_database(route=tilde_decode(request.url_vars["database"]))
    except KeyError:
        raise NotFound("Database not found") from None


def _page_number(request: Any) -> int:
    text = request.args.get("page") or "1"
    return int(text) if re.fullmatch("[1-9][0-9]{0,5}", text) else 1


def _permissions(database: str, table: str = TABLE) -> list[Any]:
    return [("view-table", (database, table)), ("view-database", database), "view-instance"]


async def _may_see(datasette: Any, actor: dict[str, Any] | None, database: str, table: str = TABLE) -> bool:
    visible, _ = await datasette.check_visibility(actor, permissions=_permissions(database, table))
    return bool(visible)


async def _may_query(datasette: Any, actor: dict[str, Any] | None, database: str) -> bool:
    return all([await _may_see(datasette, actor, database, table) for table in QUERIED_TABLES])


async def _carried(datasette: Any, actor: dict[str, Any] | None, database: str) -> dict[str, dict[str, Any]]:
    """The queries of the package that this database has; the operator's own may go by the name of one of them."""
    given = await datasette.get_canned_queries(database, actor)
    return {name: query for name, query in canned.queries().items() if given.get(name, {}).get("sql") == query["sql"]}


async def _may_acknowledge(datasette: Any, actor: dict[str, Any] | None, database: Any) -> bool:
    return database.is_mutable and bool(await datasette.permission_allowed(actor, ACKNOWLEDGE, resource=database.name))


async def _html(datasette: Any, request: Any, template: str, context: dict[str, Any], status: int = 200) -> Response:
    return Response.html(await datasette.render_template(template, context, request=request), status=status)
