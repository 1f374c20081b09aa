"""Where a task computes: on a GPU (CUDA) when there is a usable one, else on the CPU, which is tested most.

Only models and batches of examples are ever on a GPU. Weights, updates and scores leave it before they are
handed over, so stores, merges and verification know of no device.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

import torch

from foedus.core.errors import InvalidSpec
from foedus.learn.examples import Examples

CPU: Final = torch.device("cpu")
_Batch: TypeAlias = tuple[torch.Tensor, torch.Tensor]
_Item = TypeVar("_Item")
_Started = TypeVar("_Started")


def pick_device(forced: str = "") -> torch.device:
    """Return the first GPU that CUDA_VISIBLE_DEVICES leaves visible if it is usable, else the CPU.

    `forced` is what FOEDUS_DEVICE says: `cpu`, `cuda`, or nothing. Raises `InvalidSpec` for another word, and
    for `cuda` without a usable GPU.
    """
    if forced not in ("", "cpu", "cuda"):
        raise InvalidSpec(f"FOEDUS_DEVICE must be cpu or cuda, got {forced!r}", "Unset it: tasks then pick.")
    problem = "" if forced == "cpu" else _why_no_gpu()
    if forced == "cuda" and problem:
        raise InvalidSpec(f"FOEDUS_DEVICE is cuda, but {problem}", "Unset FOEDUS_DEVICE, or set it to cpu.")
    return CPU if forced == "cpu" or problem else torch.device("cuda", torch.cuda.current_device())


def prepare_gpu() -> None:
    """Let this process compute on a GPU as reproducibly as it can; call it before the first computation.

    Some operations of GPUs have no reproducible form: `prepare_worker` forbids these, here they only warn.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS is not reproducible
    torch.set_deterministic_debug_mode("warn")


def autocast(device: torch.device, is_wanted: bool) -> AbstractContextManager[object]:
    """Return a context for forward pass and loss, in bfloat16 if wanted; it can be entered repeatedly."""
    return torch.autocast(device.type, torch.bfloat16) if is_wanted else nullcontext()


def suits_bfloat16(device: torch.device, examples: Examples) -> bool:
    """Tell whether training is to be in bfloat16: that of convolutional models, on GPUs that have it."""
    return device.type == "cuda" and examples.channels_last and torch.cuda.is_bf16_supported(False)


@dataclass(frozen=True, slots=True)
class Placed:
    """Examples as a model on `device` is given them: kept there, or moved there batch by batch."""

    examples: Examples
    device: torch.device

    @classmethod
    def on(cls, device: torch.device, examples: Examples) -> "Placed":
        """Move the examples to the device, unless they take more than half of what is free there."""
        fits = device.type != "cuda" or examples.size_bytes <= _free_bytes(device) // 2
        return cls(examples.to(device) if fits else examples, device)

    def batches(self, order: torch.Tensor, size: int) -> Iterator[_Batch]:
        """Yield what `Examples.batches` does for this order (N,), on the device."""
        home = self.examples.targets.device
        found = self.examples.batches(order.to(home), size)
        return found if home == self.device else _streamed(found, self.device)


def one_ahead(items: Iterable[_Item], start: Callable[[_Item], _Started]) -> Iterator[_Started]:
    """Yield what `start` makes of each item, each when the next has been started, too."""
    waiting: list[_Started] = []
    for item in items:
        waiting.append(start(item))
        if len(waiting) > 1:
            yield waiting.pop(0)
    yield from waiting


def _streamed(batches: Iterator[_Batch], device: torch.device) -> Iterator[_Batch]:
    """Move batches through pinned memory on a stream of their own, one batch ahead of the computation."""
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch leaves it unannotated

    def start(batch: _Batch) -> tuple[_Batch, torch.cuda.Event]:
        with torch.cuda.stream(stream):
            inputs, targets = (tensor.pin_memory().to(device, non_blocking=True) for tensor in batch)
            return (inputs, targets), stream.record_event()

    for batch, arrived in one_ahead(batches, start):
        computing = torch.cuda.current_stream(device)
        computing.wait_event(arrived)
        for tensor in batch:
            tensor.record_stream(computing)  # else its memory could be reused while it is still read
        yield batch


def _free_bytes(device: torch.device) -> int:
    """Return how much memory is free on a GPU; what PyTorch holds there without using it counts."""
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + held


def _why_no_gpu() -> str:
    """Return in words why no GPU can be used; nothing when one can, which is tried."""
    if not torch.cuda.is_available():
        return "PyTorch finds no GPU (built without CUDA, or hidden by CUDA_VISIBLE_DEVICES?)"
    try:
        torch.ones(1, device="cuda").item()
    except RuntimeError as error:  # an old driver, a card this PyTorch has no code for, a card that is taken
        return f"the GPU cannot be used: {str(error).splitlines()[0]}"
    return ""
