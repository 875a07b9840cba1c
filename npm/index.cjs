"use strict";

const { existsSync } = require("node:fs");
const { dirname, join } = require("node:path");
const { inspect } = require("node:util");

const EXTENSIONS = { darwin: "anomaly0.dylib", win32: "anomaly0.dll" };
const OPTIONS = new Set(["model", "path"]);

/** What this process runs on, as the platform packages are named. */
function platform() {
  return `${process.platform}-${process.arch}`;
}

/** Whether this is a Linux with another C library than the packages for Linux are built for. */
function lacksGlibc() {
  return process.platform === "linux" && !process.report.getReport().header.glibcVersionRuntime;
}

/** The error of a platform whose package is not there, with the remedy. */
function missing(cause) {
  const { optionalDependencies = {}, version } = require("./package.json");
  const name = `@sqlite-anomaly/${platform()}`;
  const remedy =
    name in optionalDependencies && !lacksGlibc()
      ? `npm install ${name}@${version} (npm leaves it out with --omit=optional, and each platform has its own)`
      : `there are ${Object.keys(optionalDependencies).join(", ")} (on Linux, for glibc); on another platform, ` +
        `build the extension from source (make dist) and give its path: load(db, { path: "dist/anomaly0" })`;
  return new Error(`sqlite-anomaly: ${name} is not installed; ${remedy}`, { cause });
}

function getLoadablePath() {
  let folder;
  try {
    folder = dirname(require.resolve(`@sqlite-anomaly/${platform()}/package.json`));
  } catch (error) {
    throw missing(error);
  }
  const path = join(folder, EXTENSIONS[process.platform] ?? "anomaly0.so");
  if (!existsSync(path)) {
    throw new Error(`sqlite-anomaly: ${path} is missing; install it again: npm install --force sqlite-anomaly`);
  }
  return path;
}

/** What a driver says when it may not load extensions, and what to do about it. */
function refused(error) {
  const remedy = /not allowed/.test(error.message)
    ? "; open the database so that it may: new DatabaseSync(path, { allowExtension: true }) with node:sqlite"
    : "";
  return new Error(`sqlite-anomaly: the extension cannot be loaded: ${error.message}${remedy}`, { cause: error });
}

/** Says which option is wrong: one that were passed over would leave the database without its model. */
function check(options) {
  const expected = 'expected { model: "bundled" }, { path: "dist/anomaly0" } or both';
  if (options === null || typeof options !== "object" || Array.isArray(options)) {
    throw new TypeError(`sqlite-anomaly: ${inspect(options)} is no object of options; ${expected}`);
  }
  for (const [name, value] of Object.entries(options)) {
    if (!OPTIONS.has(name)) {
      throw new TypeError(`sqlite-anomaly: unknown option '${name}'; ${expected}`);
    }
    if (value !== undefined && (typeof value !== "string" || value === "")) {
      throw new TypeError(`sqlite-anomaly: option '${name}' cannot be ${inspect(value)}; ${expected}`);
    }
  }
}

function load(db, options = {}) {
  if (typeof db?.loadExtension !== "function" || typeof db.prepare !== "function") {
    throw new TypeError(
      "sqlite-anomaly: load() needs an open database of better-sqlite3, node:sqlite or libsql, " +
        "which has loadExtension() and prepare()",
    );
  }
  check(options);
  const path = options.path ?? getLoadablePath();
  try {
    db.loadExtension(path);
  } catch (error) {
    throw refused(error);
  }
  if (options.model !== undefined) {
    db.prepare("SELECT anomaly_config('model', ?) AS model").get(options.model);
  }
}

module.exports = { getLoadablePath, load };
