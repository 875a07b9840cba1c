//! Links the SQLite that plays the host.

fn main() {
    // The library alone, under its own name: no headers are needed, and none of its development package.
    println!("cargo::rustc-link-lib=dylib:+verbatim=libsqlite3.so.0");
    println!("cargo::rerun-if-changed=build.rs");
}
