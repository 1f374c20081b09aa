#!/bin/sh
# Make the virtual environment that all `make` targets use. Called by make; asks nothing, may be repeated.
#
#   scripts/setup.sh VENV [PYTHON]
#
# PyTorch comes first and with its own dependencies: these differ between its builds (for processors only, or
# with CUDA), and the package index decides which build there is. Everything else comes exactly as locked.
set -eu
venv=${1:?usage: scripts/setup.sh VENV [PYTHON]}
wanted=${2:-}
started=$(date +%s)

unset PYTHONPATH PYTHONHOME
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PYTHONNOUSERSITE=1

say() { printf '%s\n' "$*"; }
fail() {
    printf 'error: %s\n' "$@" >&2
    exit 1
}
version() { "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null; }
is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
is_tested() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; }
has_venv() { "$1" -c 'import venv, ensurepip' >/dev/null 2>&1; }

choose_python() {
    for candidate in python3 python3.13 python3.12 python3.11; do
        if is_tested "$candidate" && has_venv "$candidate"; then
            say "$candidate"
            return
        fi
    done
}

explain_no_python() {
    for candidate in python3 python3.13 python3.12 python3.11; do
        if is_tested "$candidate"; then
            fail "$candidate is Python $(version "$candidate"), but lacks the module venv or ensurepip." \
                "Debian and Ubuntu: apt install python3-venv"
        fi
    done
    fail "Foedus needs Python 3.11, 3.12 or 3.13; python3 is $(version python3 || echo missing)." \
        "Debian 12 and Ubuntu 24.04 or newer: apt install python3 python3-venv" \
        "If you have one elsewhere, name it: make PYTHON=/path/to/python3.12 …"
}

if [ -n "$wanted" ]; then
    is_new_enough "$wanted" || fail "$wanted is not Python 3.11 or newer ($(version "$wanted" || echo "does not run"))."
    has_venv "$wanted" || fail "$wanted lacks the module venv or ensurepip (Debian and Ubuntu: apt install python3-venv)."
    python=$wanted
else
    python=$(choose_python)
    [ -n "$python" ] || explain_no_python
fi

if ! is_new_enough "$venv/bin/python" || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    say "[1/4] Virtual environment $venv with Python $(version "$python")"
    "$python" -m venv --clear "$venv"
else
    say "[1/4] Virtual environment $venv is there, with Python $(version "$venv/bin/python")"
fi
pip() { "$venv/bin/python" -m pip install -qq "$@" || fail "pip could not install: see its message above."; }

torch=$(sed -n '/^torch==/p' requirements.lock)
say "[2/4] PyTorch ($torch); the first time this fetches about 200 MB"
pip --constraint requirements.lock "$torch"
say "[3/4] The other packages, exactly as in requirements.lock (about 150 MB)"
pip --no-deps --requirement requirements.lock
say "[4/4] Foedus itself"
pip --no-deps --no-build-isolation --editable .
say "Ready after $(($(date +%s) - started)) s."
