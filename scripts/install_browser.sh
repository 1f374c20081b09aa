#!/bin/sh
# Install the browser in which tests open the platform's pages. Called by `make test`; may be repeated.
set -eu
what="a browser"
which_tests="in a real browser"
packages="chromium fonts-dejavu-core"

lacking() { command -v chromium >/dev/null || echo chromium; }

. "$(dirname "$0")/apt.sh"
install_missing
