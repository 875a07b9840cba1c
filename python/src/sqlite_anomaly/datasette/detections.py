"""What the page shows of the table `detections`, read within Datasette's time limit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import urlencode

COLUMNS = frozenset(
    "id tenant_id entry_id source_id anomaly_label anomaly_score severity text timestamp_iso detected_at acknowledged "
    "acknowledged_at notes".split()
)
# Of these, what anomaly_init() does not add: a table that lacks one is of something else.
KEYS = frozenset("id entry_id anomaly_label anomaly_score detected_at".split())
PAGE = 50
CRITICALS = 5
# More sources than a menu can hold are found by the query that lists them all.
SOURCES = 500

# The time of a detection is that of its message, and where that has none which SQLite understands, its own. A time
# begins with a year: SQLite also takes 'now' for one, which a log can say, and a number of days. The casts are for
# tables that others made, whose columns can hold anything.
FOUND = """
WITH found AS (
    SELECT coalesce(CAST(id AS TEXT), '') AS id, CAST(source_id AS TEXT) AS source,
           coalesce(CAST(anomaly_label AS TEXT), '') AS label, coalesce(CAST(anomaly_score AS REAL), 0) AS score,
           CAST(severity AS TEXT) AS severity, CAST(text AS TEXT) AS text, acknowledged, acknowledged_at,
           CAST(notes AS TEXT) AS notes,
           coalesce(
               CASE WHEN timestamp_iso GLOB '[1-9][0-9][0-9][0-9]-*' THEN julianday(timestamp_iso) END,
               CASE WHEN detected_at GLOB '[1-9][0-9][0-9][0-9]-*' THEN julianday(detected_at) END
           ) AS time
    FROM detections
    WHERE tenant_id IN ('', :tenant)
)
"""
SHOWN = """
SELECT id, strftime('%Y-%m-%d %H:%M:%S', time) AS time, source, label, score, severity, text, acknowledged,
       strftime('%Y-%m-%d %H:%M', acknowledged_at) AS acknowledged_at, notes
FROM found
"""


@dataclass(frozen=True)
class Filters:
    """Which detections are asked for; what is empty does not matter."""

    label: str = ""
    source: str = ""
    acknowledged: str = ""
    since: str = ""
    until: str = ""

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Self:
        """The filters of a query string. Raises ValueError for a time that is none."""
        return cls(
            label=query.get("label") or "",
            source=query.get("source") or "",
            acknowledged=query["acknowledged"] if query.get("acknowledged") in ("0", "1") else "",
            since=_time(query.get("since") or ""),
            until=_time(query.get("until") or ""),
        )

    def query_string(self, **more: object) -> str:
        """The filters as a query string, with its question mark; empty for none."""
        given = {key: value for key, value in (asdict(self) | more).items() if value}
        return f"?{urlencode(given)}" if given else ""

    def where(self) -> str:
        """The condition, whose parameters are the filters' names."""
        conditions = {
            "label": "label = :label",
            "source": "source = :source",
            "acknowledged": "acknowledged = CAST(:acknowledged AS INTEGER)",
            "since": "time >= julianday(:since)",
            "until": "time < julianday(:until)",
        }
        given = [condition for name, condition in conditions.items() if getattr(self, name)]
        return "WHERE " + " AND ".join(given or ["true"])


def _time(text: str) -> str:
    """A time as the page's form gives it, in UTC."""
    if not text:
        return ""
    try:
        time = datetime.fromisoformat(text)
        utc = time.astimezone(UTC) if time.tzinfo else time
    except (ValueError, OverflowError):
        raise ValueError(f"'{text}' is no time: one looks like 2026-06-12T14:30, in UTC") from None
    return utc.replace(tzinfo=None).isoformat(timespec="seconds").removesuffix(":00")


async def are_in(database: Any) -> bool:
    """Whether the database has a table of detections."""
    return await database.table_exists("detections") and set(await database.table_columns("detections")) >= COLUMNS


async def obstacle(database: Any) -> str:
    """Why they are not in a database: in words where something else has the name, else what is to be run there."""
    if "detections" in await database.view_names():
        return "is a view"
    if not await database.table_exists("detections"):
        return "import"
    lacking = KEYS - set(await database.table_columns("detections"))
    return f"lacks {', '.join(sorted(lacking))}" if lacking else "init"


class Detections:
    """The detections of one database that the filters ask for."""

    def __init__(self, database: Any, filters: Filters) -> None:
        self._database = database
        self._where = filters.where()
        self._parameters = {"tenant": os.environ.get("TURNSTONE_TENANT_ID", ""), **asdict(filters)}

    async def _rows(self, sql: str, **more: object) -> list[Any]:
        results = await self._database.execute(FOUND + sql, self._parameters | more)
        return list(results.rows)

    async def span(self) -> tuple[datetime, datetime] | None:
        """When the first and the last of them were."""
        sql = f"""
            SELECT strftime('%Y-%m-%dT%H:%M:%S', min(time)), strftime('%Y-%m-%dT%H:%M:%S', max(time))
            FROM found {self._where}
        """
        ((first, last),) = await self._rows(sql)
        return (datetime.fromisoformat(first), datetime.fromisoformat(last)) if first else None

    async def counts(self, form: str) -> list[tuple[str, str, int]]:
        """How many there are of each time, as `form` writes it, and label."""
        sql = f"""
            SELECT coalesce(strftime(:form, time), 'no time') AS bin, label, count(*)
            FROM found {self._where} GROUP BY 1, 2
        """
        return [tuple(row) for row in await self._rows(sql, form=form)]

    async def figures(self) -> Any:
        """How many there are: all, not acknowledged, critical."""
        sql = f"""
            SELECT count(*) AS total, coalesce(sum(NOT acknowledged), 0) AS open,
                   coalesce(sum(severity = 'CRITICAL'), 0) AS critical, count(DISTINCT source) AS sources
            FROM found {self._where}
        """
        (row,) = await self._rows(sql)
        return row

    async def criticals(self) -> list[Any]:
        """The latest whose severity is CRITICAL."""
        sql = f"{SHOWN} {self._where} AND severity = 'CRITICAL' ORDER BY found.time DESC, id DESC LIMIT {CRITICALS}"
        return await self._rows(sql)

    async def page(self, number: int) -> tuple[list[Any], bool]:
        """A page of the latest, counted from 1, and whether there is another."""
        sql = f"{SHOWN} {self._where} ORDER BY found.time DESC, id DESC LIMIT :most OFFSET :skipped"
        rows = await self._rows(sql, most=PAGE + 1, skipped=(number - 1) * PAGE)
        return rows[:PAGE], len(rows) > PAGE

    async def progress(self) -> str:
        """How far the scoring of the log is: there are `none`, some are `pending`, or all of them `scored`."""
        of_tenant = "FROM log_entries WHERE tenant_id IN ('', :tenant)"
        sql = f"""
            SELECT CASE WHEN EXISTS (SELECT 1 {of_tenant} AND anomaly_scored_at IS NULL) THEN 'pending'
                        WHEN EXISTS (SELECT 1 {of_tenant}) THEN 'scored' ELSE 'none' END
        """
        has_log = {"tenant_id", "anomaly_scored_at"} <= set(await self._database.table_columns("log_entries"))
        return (await self._rows(sql))[0][0] if has_log else "none"

    async def labels(self) -> list[str]:
        """Every label there is, whatever the filters say."""
        return [label for (label,) in await self._rows("SELECT DISTINCT label FROM found ORDER BY 1")]

    async def sources(self) -> list[str]:
        """Every source there is, whatever the filters say."""
        sql = f"SELECT DISTINCT source FROM found WHERE source IS NOT NULL ORDER BY 1 LIMIT {SOURCES}"
        return [source for (source,) in await self._rows(sql)]
