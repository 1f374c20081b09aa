"""The environment variables that workers see. Jobs never inherit the platform's secrets."""

import os
from collections.abc import Mapping

_ALLOWED = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP"),
        *("LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV", "FOEDUS_DEVICE"),
    )
)
_ALLOWED_PREFIXES = (
    *("LC_", "XDG_", "PYTHON", "MALLOC_", "GLIBC_"),
    *("OMP_", "MKL_", "OPENBLAS_", "KMP_", "ATEN_", "TORCH", "PYTORCH_"),
    *("CUDA_", "CUBLAS_", "NVIDIA_", "HIP_", "ROCR_"),
)
_THREAD_SETTINGS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def worker_environment(threads: int) -> Mapping[str, str]:
    """Return the harmless part of our own environment, with every numeric library held to `threads`.

    Thread counts must be known before the libraries load, hence as variables and not by calls.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _ALLOWED or name.startswith(_ALLOWED_PREFIXES)
    }
    return kept | dict.fromkeys(_THREAD_SETTINGS, str(threads))
