import sqliteAnomaly from "./index.cjs";

export const { getLoadablePath, load } = sqliteAnomaly;
