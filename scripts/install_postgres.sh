#!/bin/sh
# Install what the tests need of PostgreSQL (Debian and Ubuntu, as root). Called by `make test`; may be
# repeated. Says nothing when all is there. Where it cannot install, it says what is missing and goes on: those
# tests are then skipped by name, or fail with FOEDUS_REQUIRE_ALL=1.
set -eu
package=postgresql

is_there() {
    command -v initdb >/dev/null && command -v postgres >/dev/null && return 0
    for folder in /usr/lib/postgresql/*/bin; do
        [ ! -x "$folder/initdb" ] || return 0
    done
    return 1
}

go_on_without() {
    printf '%s: tests on PostgreSQL will be skipped, or fail with FOEDUS_REQUIRE_ALL=1.\n' "$1" >&2
    printf 'They need: apt-get install --no-install-recommends %s\n' "$package" >&2
    exit 0
}

! is_there || exit 0
[ "$(id -u)" = 0 ] || go_on_without "Not root"
command -v apt-get >/dev/null || go_on_without "No apt-get here"

log=$(mktemp)
policy=/usr/sbin/policy-rc.d
is_ours=
tidy() {
    rm -f "$log"
    [ -z "$is_ours" ] || rm -f "$policy"
}
trap tidy EXIT
trap 'exit 1' HUP INT TERM # by way of EXIT: the policy must not stay

# Installing must not start daemons; tests start their own.
if [ ! -e "$policy" ]; then
    is_ours=yes
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

install() { DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $package >"$log" 2>&1; }
echo "Installing PostgreSQL for the tests: $package"
if ! install && ! { apt-get update >"$log" 2>&1 && install; }; then
    tail -n 5 "$log" >&2
    go_on_without "apt-get cannot install PostgreSQL (see above)"
fi
is_there || go_on_without "Still missing after the installation: initdb"
