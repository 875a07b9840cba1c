/** What `load()` needs of a database: those of better-sqlite3, node:sqlite and libsql have it. */
export interface Database {
  loadExtension(path: string): unknown;
  prepare(sql: string): { get(...parameters: any[]): unknown };
}

export interface Options {
  /** `"bundled"`, a model's folder, or the id of a model in the Hugging Face cache; without it none is configured. */
  model?: string;
  /** An extension of your own build, in place of the one that ships with this package. */
  path?: string;
}

/** The path of the extension of this platform, for whoever loads it by other means. */
export function getLoadablePath(): string;

/**
 * Loads the extension into a connection, and configures a model where one is named.
 *
 * With node:sqlite, the database must have been opened with `allowExtension: true`.
 */
export function load(db: Database, options?: Options): void;
