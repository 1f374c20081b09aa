"""Settings of a worker process. Called by the worker, never at import."""

import ctypes

import torch

# Parameters of glibc's mallopt. Memory that goes back to the system after every step costs page faults: a
# fifth of a small step. Older versions accept a threshold of at most 32 MiB.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_SETTINGS_BYTES = {
    _M_TRIM_THRESHOLD: (1 << 30,),
    _M_TOP_PAD: (1 << 26,),
    _M_MMAP_THRESHOLD: (1 << 30, 1 << 25),
}


def prepare_worker(threads: int = 1) -> None:
    """Make this process compute with `threads` threads, reproducibly and without needless page faults."""
    torch.set_num_threads(threads)
    # The same switch as use_deterministic_algorithms(True), which would load PyTorch's compiler: seconds.
    torch.set_deterministic_debug_mode("error")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a debugging aid
    tune_allocator()


def tune_allocator() -> bool:
    """Let malloc keep freed memory for the next step. Returns False, and does nothing, where not on glibc."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    done = [
        any(library.mallopt(name, value) == 1 for value in values) for name, values in _SETTINGS_BYTES.items()
    ]
    return all(done)
