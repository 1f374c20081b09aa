#!/bin/sh
# Install the browser in which tests open the platform's pages (Debian and Ubuntu, as root). Called by
# `make test`; may be repeated. Says nothing when it is there. Where it cannot install, it says so and goes on:
# those tests are then skipped by name, or fail with FOEDUS_REQUIRE_ALL=1.
set -eu
packages="chromium fonts-dejavu-core"

is_there() { command -v chromium >/dev/null; }

go_on_without() {
    printf '%s: tests in a real browser will be skipped, or fail with FOEDUS_REQUIRE_ALL=1.\n' "$1" >&2
    printf 'They need: apt-get install --no-install-recommends %s\n' "$packages" >&2
    exit 0
}

! is_there || exit 0
[ "$(id -u)" = 0 ] || go_on_without "Not root"
command -v apt-get >/dev/null || go_on_without "No apt-get here"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() { DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages >"$log" 2>&1; }
echo "Installing a browser for the tests: $packages"
if ! install && ! { apt-get update >"$log" 2>&1 && install; }; then
    tail -n 5 "$log" >&2
    go_on_without "apt-get cannot install chromium (see above)"
fi
is_there || go_on_without "Still no chromium after the installation"
