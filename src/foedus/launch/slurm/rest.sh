#!/bin/bash
# Stands before job.sh in what slurmrestd is sent. Values come as numbered variables instead of arguments, of
# which slurmrestd 22.05 dies. They are copied, never read as shell text, and the program does not see them.
set --
while argument=FOEDUS_ARGUMENT_$# && [ -n "${!argument+set}" ]; do
    set -- "$@" "${!argument}"
    unset "$argument"
done
