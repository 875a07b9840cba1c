// Packs the Node packages: sqlite-anomaly, and the one of this platform, which holds what stands in dist/.
//
//   node npm/build.mjs [--dist FOLDER] [--out FOLDER] [--platforms linux-x64,darwin-arm64]
//
// A release names all platforms that it publishes: the package then installs the one it finds itself on.

import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const STAGE = join(ROOT, "target", "npm");
const HERE = `${process.platform}-${process.arch}`;

const { values: options } = parseArgs({
  options: {
    dist: { type: "string", default: join(ROOT, "dist") },
    out: { type: "string", default: join(ROOT, "dist") },
    platforms: { type: "string", default: HERE },
  },
});

/** The version stands in Cargo.toml alone. */
function version() {
  return readFileSync(join(ROOT, "Cargo.toml"), "utf8").match(/^version = "(.+)"$/m)[1];
}

/** The files of dist/ that a process on this platform needs. */
function payload() {
  const [extension, runtime] = {
    darwin: ["anomaly0.dylib", "libonnxruntime.dylib"],
    win32: ["anomaly0.dll", "onnxruntime.dll"],
  }[process.platform] ?? ["anomaly0.so", "libonnxruntime.so"];
  return [extension, runtime, "model", "licenses"];
}

function fresh(folder) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
}

/** npm publishes with provenance only what names the repository that its workflow ran for. */
function repository() {
  const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: name } = process.env;
  return name && { repository: { type: "git", url: `git+${server}/${name}.git` } };
}

function write(folder, manifest) {
  writeFileSync(join(folder, "package.json"), `${JSON.stringify({ ...manifest, ...repository() }, null, 2)}\n`);
}

function stageMain(folder, template, platforms) {
  fresh(folder);
  for (const file of ["index.cjs", "index.mjs", "index.d.cts", "index.d.mts", "README.md"]) {
    cpSync(join(ROOT, "npm", file), join(folder, file));
  }
  for (const file of ["LICENSE-MIT", "LICENSE-APACHE"]) {
    cpSync(join(ROOT, file), join(folder, file));
  }
  const { private: _, ...published } = template;
  const optionalDependencies = Object.fromEntries(platforms.map((name) => [`@sqlite-anomaly/${name}`, version()]));
  write(folder, { ...published, version: version(), optionalDependencies });
}

function stagePlatform(folder, template) {
  fresh(folder);
  for (const file of payload()) {
    const source = join(options.dist, file);
    if (!existsSync(source)) {
      throw new Error(`${source} is missing: run make dist`);
    }
    cpSync(source, join(folder, file), { recursive: true });
  }
  writeFileSync(join(folder, "README.md"), `The files of sqlite-anomaly for ${HERE}; install \`sqlite-anomaly\`.\n`);
  write(folder, {
    name: `@sqlite-anomaly/${HERE}`,
    version: version(),
    description: `${template.description} (${HERE})`,
    license: template.license,
    files: payload(),
    os: [process.platform],
    cpu: [process.arch],
    ...(process.platform === "linux" && { libc: ["glibc"] }),
  });
}

/** npm runs as this process does: by the same node, which lies in bin/ but on Windows. */
function pack(folder) {
  const home = join(dirname(process.execPath), process.platform === "win32" ? "." : "..");
  const npm = process.env.npm_execpath ?? join(home, "lib/node_modules/npm/bin/npm-cli.js");
  mkdirSync(options.out, { recursive: true });
  execFileSync(process.execPath, [npm, "pack", "--loglevel=error", "--pack-destination", resolve(options.out)], {
    cwd: folder,
    stdio: "inherit",
  });
}

const template = JSON.parse(readFileSync(join(ROOT, "npm", "package.json"), "utf8"));
const main = join(STAGE, "sqlite-anomaly");
const platform = join(STAGE, HERE);
stageMain(main, template, options.platforms.split(","));
stagePlatform(platform, template);
[main, platform].forEach(pack);
