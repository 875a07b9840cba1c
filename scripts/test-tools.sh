#!/usr/bin/env bash
# Installs what the tests need beside Rust and Python, where Debian or Ubuntu lack it: the shell, jq, what
# builds examples/go, Java for examples/pyspark, a browser. Elsewhere the tests name what they lack.
set -euo pipefail
command -v apt-get >/dev/null || exit 0

missing=()
command -v sqlite3 >/dev/null || missing+=(sqlite3)
command -v make >/dev/null || missing+=(make)
command -v jq >/dev/null || missing+=(jq)
command -v c++ >/dev/null || missing+=(g++)
command -v go >/dev/null || missing+=(golang-go)
test -d /usr/share/gocode/src/github.com/mattn/go-sqlite3 || missing+=(golang-github-mattn-go-sqlite3-dev)
command -v java >/dev/null || missing+=(openjdk-17-jre-headless)
# Ubuntu's browser is a snap, which the driver cannot start; the machines of GitHub on x86-64 have both.
if ! grep -q '^ID=ubuntu' /etc/os-release; then
    command -v chromium >/dev/null || missing+=(chromium fonts-liberation)
    command -v chromedriver >/dev/null || missing+=(chromium-driver)
fi
[ ${#missing[@]} -gt 0 ] || exit 0

root=()
if [ "$(id -u)" != 0 ]; then
    root=(sudo)
    if ! sudo -n true 2>/dev/null; then
        echo "The tests need more: sudo apt-get install ${missing[*]}"
        exit 1
    fi
fi
"${root[@]}" apt-get update -q
"${root[@]}" apt-get install -qy --no-install-recommends "${missing[@]}"
