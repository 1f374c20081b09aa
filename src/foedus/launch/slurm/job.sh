#!/bin/bash
# The one script of all batch jobs of Foedus. It is never made from text: values come as arguments.
#   job.sh PROLOGUE [MODULE]… -- COMMAND [ARGUMENT]…
umask 077
prologue=$1
shift
if [ "$1" != -- ]; then
    for file in /etc/profile.d/modules.sh /etc/profile.d/lmod.sh /etc/profile.d/z00_lmod.sh; do
        if [ -r "$file" ]; then . "$file"; fi
    done
    if ! command -v module >/dev/null; then
        echo "foedus: this node has no environment modules (no command 'module')" >&2
        exit 127
    fi
fi
while [ "$1" != -- ]; do
    module load "$1" || exit 127
    shift
done
shift
if [ -n "$prologue" ]; then
    . "$prologue"
    code=$? # of its last command: not every script of a site bears `set -e`
    if [ "$code" != 0 ]; then
        echo "foedus: the prologue ended with code $code" >&2
        exit 127
    fi
fi
exec "$@" # the warning signal is for the supervisor, and reaches only this process
