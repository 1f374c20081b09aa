#!/bin/sh
# Install what the tests need of Slurm (Debian and Ubuntu, as root). Called by `make test`; may be repeated.
# Says nothing when all is there. Where it cannot install, it says what is missing and goes on: those tests
# are then skipped by name, or fail with FOEDUS_REQUIRE_ALL=1.
set -eu
PATH=$PATH:/usr/sbin:/sbin
programs="munged slurmctld slurmd slurmdbd slurmrestd sbatch mariadbd"
packages="munge slurmctld slurmd slurm-client slurmdbd slurmrestd slurm-wlm-jwt-plugin mariadb-server"

missing() {
    for program in $programs; do
        command -v "$program" >/dev/null || printf '%s ' "$program"
    done
}

lacking=$(missing)
[ -n "$lacking" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Tests on a real Slurm need: $packages"
    echo "(no root or no apt-get here to install them)"
    exit 0
fi

# Installing must not start daemons; tests start their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi
echo "Installing Slurm for the tests: $packages"
log=$(mktemp)
install() { DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages >"$log" 2>&1; }
install || { apt-get update >"$log" 2>&1 && install; } || {
    tail -n 20 "$log" >&2
    echo "error: the packages could not be installed: see above" >&2
    exit 1
}
rm -f "$log"
lacking=$(missing)
[ -z "$lacking" ] || { echo "error: still missing after the installation: $lacking" >&2; exit 1; }
