#!/bin/sh
# Install what the tests need of PostgreSQL. Called by `make test`; may be repeated.
set -eu
what=PostgreSQL
which_tests="on PostgreSQL"
packages=postgresql

lacking() {
    command -v initdb >/dev/null && command -v postgres >/dev/null && return 0
    for folder in /usr/lib/postgresql/*/bin; do
        [ ! -x "$folder/initdb" ] || return 0
    done
    echo initdb
}

. "$(dirname "$0")/apt.sh"
install_missing quietly
