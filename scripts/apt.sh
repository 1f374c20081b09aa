# Sourced by the scripts that install what some tests need (Debian and Ubuntu, as root). They set `what` (is
# installed), `which_tests` (need it) and `packages`, define `lacking` (print the programs that are not there),
# and call `install_missing`, or `install_missing quietly` for packages that would start daemons.
#
# Nothing is said when all is there. Where nothing can be installed, that is said and the caller goes on: those
# tests are then skipped by name, or fail with FOEDUS_REQUIRE_ALL=1.

go_on_without() {
    printf '%s: tests %s will be skipped, or fail with FOEDUS_REQUIRE_ALL=1.\n' "$1" "$which_tests" >&2
    printf 'They need: apt-get install --no-install-recommends %s\n' "$packages" >&2
    exit 0
}

log=
policy=/usr/sbin/policy-rc.d
is_ours=
tidy() {
    [ -z "$log" ] || rm -f "$log"
    [ -z "$is_ours" ] || rm -f "$policy"
}

# Installing must not start daemons; tests start their own.
quietly() {
    if [ ! -e "$policy" ]; then
        is_ours=yes
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    "$@"
}

apt_install() { DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages >"$log" 2>&1; }

fetch() {
    echo "Installing $what for the tests: $packages"
    if ! apt_install && ! { apt-get update >"$log" 2>&1 && apt_install; }; then
        tail -n 5 "$log" >&2
        go_on_without "apt-get cannot install $what (see above)"
    fi
}

# install_missing [quietly]
install_missing() {
    [ -n "$(lacking)" ] || exit 0
    [ "$(id -u)" = 0 ] || go_on_without "Not root"
    command -v apt-get >/dev/null || go_on_without "No apt-get here"
    trap tidy EXIT
    trap 'exit 1' HUP INT TERM # by way of EXIT: the policy must not stay
    log=$(mktemp)
    ${1:+"$1"} fetch
    still=$(lacking)
    [ -z "$still" ] || go_on_without "Still missing after the installation: $still"
}
