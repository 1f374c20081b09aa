#!/bin/sh
# Install what the tests need of Slurm. Called by `make test`; may be repeated.
set -eu
PATH=$PATH:/usr/sbin:/sbin
what=Slurm
which_tests="on a real Slurm"
programs="munged slurmctld slurmd slurmdbd slurmrestd sbatch mariadbd"
packages="munge slurmctld slurmd slurm-client slurmdbd slurmrestd slurm-wlm-jwt-plugin mariadb-server"

lacking() {
    for program in $programs; do
        command -v "$program" >/dev/null || printf '%s ' "$program"
    done
}

. "$(dirname "$0")/apt.sh"
install_missing quietly
