"""The extension in a connection of aiosqlite."""

import asyncio

import aiosqlite
import sqlite_anomaly


async def load_anomaly(db):
    await db.enable_load_extension(True)
    await db.load_extension(sqlite_anomaly.loadable_path())
    await db.enable_load_extension(False)
    await db.execute("SELECT anomaly_config('model', 'bundled')")


async def main():
    async with aiosqlite.connect("logs.db") as db:
        await load_anomaly(db)
        async with db.execute("SELECT anomaly_label('Out of memory: Killed process 4711 (java)')") as cursor:
            print(*await cursor.fetchone())


asyncio.run(main())
