// Compiled, never run: what the types promise to CommonJS.
import sqliteAnomaly = require("sqlite-anomaly");
import { DatabaseSync } from "node:sqlite";

sqliteAnomaly.load(new DatabaseSync(sqliteAnomaly.getLoadablePath()), { model: "bundled" } satisfies sqliteAnomaly.Options);
