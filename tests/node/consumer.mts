// Compiled, never run: what the types promise to an ES module.
import BetterSqlite3 from "better-sqlite3";
import Libsql from "libsql";
import { DatabaseSync } from "node:sqlite";
import { type Database, type Options, getLoadablePath, load } from "sqlite-anomaly";

const options: Options = { model: "bundled", path: getLoadablePath() };
load(new BetterSqlite3(":memory:"), options);
load(new DatabaseSync(":memory:", { allowExtension: true }));
load(new Libsql(":memory:"), { model: "bundled" });

const own: Database = { loadExtension: (_path: string) => {}, prepare: (_sql: string) => ({ get: () => undefined }) };
load(own);

// @ts-expect-error: no database
load(42);
// @ts-expect-error: no such option
load(own, { modle: "bundled" });
