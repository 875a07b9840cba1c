"""The extension in every connection of an asynchronous SQLAlchemy engine."""

import asyncio

import sqlite_anomaly
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import create_async_engine


async def load_anomaly(db):
    await db.enable_load_extension(True)
    await db.load_extension(sqlite_anomaly.loadable_path())
    await db.enable_load_extension(False)
    await db.execute("SELECT anomaly_config('model', 'bundled')")


engine = create_async_engine("sqlite+aiosqlite:///logs.db")
event.listen(engine.sync_engine, "connect", lambda connection, record: connection.run_async(load_anomaly))


async def main():
    async with engine.connect() as connection:
        print(await connection.scalar(text("SELECT anomaly_label('Out of memory: Killed process 4711 (java)')")))
    await engine.dispose()


asyncio.run(main())
