"""SIM_REACTION_DIFFUSION: the Gray–Scott simulation as a batch job, whose output is a private dataset.

`output/` holds `u.npy` and `v.npy` (frames, size, size) and `metadata.json`. The model is in
`foedus.apps.gray_scott.model`, which loads PyTorch; `check` does without.
"""

import shutil
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from foedus.apps.gray_scott.names import FIELDS, KIND, METADATA
from foedus.apps.gray_scott.rates import Rates, longest_dt
from foedus.apps.order import Order
from foedus.apps.parameters import Value
from foedus.core.canonical import Json, canonical_json
from foedus.core.errors import InvalidSpec, TaskFailed
from foedus.launch import JobFolder
from foedus.launch.folder import OUTPUT

if TYPE_CHECKING:
    from foedus.apps.gray_scott.model import GrayScott
    from foedus.learn.checkpoints import Checkpoints

_REPORT_S: Final = 0.25
_LARGEST_OUTPUT_BYTES: Final = 32 << 30
_CHECKPOINT: Final = "simulation"
_DTYPES: Final = {"float32": ("F32", np.float32), "float64": ("F64", np.float64)}


def check(parameters: Mapping[str, Value]) -> None:
    """Refuse a step that forward Euler is unstable for, and output without bounds. Raises `InvalidSpec`."""
    values: dict[str, Any] = dict(parameters)
    limit = longest_dt(_rates(values), values["stencil"])
    if values["dt"] > limit:
        raise InvalidSpec(
            f"dt = {values['dt']:g} is unstable: with Du = {values['Du']:g}, Dv = {values['Dv']:g} and the "
            f"{values['stencil']}-point stencil it must be at most {limit:.4g}",
            "Lower dt (and raise steps), or lower Du and Dv.",
        )
    if values["frames"] > values["steps"] + 1:
        raise InvalidSpec(f"{values['frames']} frames need at least {values['frames'] - 1} steps")
    size = len(FIELDS) * values["frames"] * values["size"] ** 2 * np.dtype(values["precision"]).itemsize
    if size > _LARGEST_OUTPUT_BYTES:
        raise InvalidSpec(
            f"the frames would take {size / 1e9:.0f} GB, more than {_LARGEST_OUTPUT_BYTES / 1e9:.0f} GB",
            "Lower frames or size.",
        )


def run(folder: JobFolder) -> None:
    """Simulate, from a checkpoint where there is one, and write frames, metadata and the result.

    Raises `Interrupted` when it is warned (SIGUSR1), and `TaskFailed` when numbers stop being finite.
    """
    from foedus.rounds.tasks.checkpoint import checkpoints_in

    values: dict[str, Any] = dict(Order.read(folder).parameters)
    began = time.monotonic()
    with checkpoints_in(folder, values["checkpoint_s"]) as checkpoints:
        steps = _Run(folder, values, checkpoints).simulate()
    metadata = _metadata(folder.make_output(), values)
    (folder.make_output() / METADATA).write_bytes(canonical_json(metadata))
    seconds = time.monotonic() - began
    folder.finish(
        {
            **{name: metadata[name] for name in ("shape", "dtype", "ranges", "regime", "histogram")},
            "steps": values["steps"],
            "steps_per_s": round(steps / seconds, 1),
            "seconds": round(seconds, 3),
        }
    )


def frame_steps(steps: int, frames: int) -> list[int]:
    """Return after which steps a frame is kept: evenly spread, the last step among them."""
    return [steps] if frames == 1 else [round(index * steps / (frames - 1)) for index in range(frames)]


class _Run:
    """One attempt."""

    def __init__(self, folder: JobFolder, values: dict[str, Any], checkpoints: "Checkpoints") -> None:
        self._folder, self._values, self._checkpoints = folder, values, checkpoints
        self._due = {step: index for index, step in enumerate(frame_steps(values["steps"], values["frames"]))}
        self._reported_at, self._reported_step = time.monotonic(), 0

    def simulate(self) -> int:
        """Go to the last step; return how many steps this attempt did."""
        import torch

        began_at, state = self._begin()
        self._reported_step = began_at
        with torch.inference_mode():
            for step in range(began_at, self._values["steps"] + 1):
                if step > began_at:
                    state.step()
                self._keep(step, state)
        return int(self._values["steps"]) - began_at

    def _begin(self) -> tuple[int, "GrayScott"]:
        from foedus.apps.gray_scott.model import GrayScott, start

        values = self._values
        name, dtype = _DTYPES[values["precision"]]
        shape = (values["size"], values["size"])
        saved = self._checkpoints.load(
            _CHECKPOINT, {"step": ("I64", (1,)), "u": (name, shape), "v": (name, shape)}
        )
        self._frames = _Frames.opened(
            self._folder, (values["frames"], *shape), np.dtype(dtype), saved is not None
        )
        if saved is None or self._frames.is_new:
            step, fields = 0, start(values["size"], values["start"], values["seed"])
        else:
            step, fields = int(np.asarray(saved["step"])[0]), (saved["u"], saved["v"])  # type: ignore[assignment]
        u, v = (np.ascontiguousarray(field, dtype=dtype) for field in fields)
        return step, GrayScott(u, v, _rates(values), values["dt"], values["stencil"])

    def _keep(self, step: int, state: "GrayScott") -> None:
        """Write what is due after a step: a frame, an event, a checkpoint."""
        if step in self._due:
            self._frames.write(self._due[step], state.u, state.v)
        if self._checkpoints.is_due() and step < self._values["steps"]:
            self._frames.flush()
            self._checkpoints.save(_CHECKPOINT, {"step": np.array([step]), "u": state.u, "v": state.v})
        now = time.monotonic()
        if now - self._reported_at >= _REPORT_S or step == self._values["steps"]:
            self._report(step, state, now)

    def _report(self, step: int, state: "GrayScott", now: float) -> None:
        if not (np.isfinite(state.v).all() and np.isfinite(state.u).all()):
            raise TaskFailed(f"u or v became infinite or NaN by step {step}", "Lower dt.")
        rate = (step - self._reported_step) / max(now - self._reported_at, 1e-9)
        self._folder.emit({"done": step, "total": self._values["steps"], "steps_per_s": round(rate, 1)})
        self._reported_at, self._reported_step = now, step


@dataclass(frozen=True, slots=True)
class _Frames:
    """The frames on disk, one array per field."""

    arrays: "tuple[np.memmap[Any, Any], ...]"
    is_new: bool

    @classmethod
    def opened(
        cls, folder: JobFolder, shape: tuple[int, ...], dtype: np.dtype[Any], is_resumed: bool
    ) -> "_Frames":
        """Open the files of this attempt; take over an earlier attempt's if they are to go on."""
        output = folder.make_output()
        if is_resumed:
            for before in (path / OUTPUT for path in folder.earlier()):
                if all(_fits(before / f"{name}.npy", shape, dtype) for name in FIELDS):
                    for name in FIELDS:
                        if before != output:
                            shutil.copyfile(before / f"{name}.npy", output / f"{name}.npy")
                    return cls(
                        tuple(np.lib.format.open_memmap(output / f"{n}.npy", "r+") for n in FIELDS), False
                    )
        arrays = (
            np.lib.format.open_memmap(output / f"{name}.npy", "w+", dtype=dtype, shape=shape)
            for name in FIELDS
        )
        return cls(tuple(arrays), True)

    def write(self, index: int, u: npt.NDArray[Any], v: npt.NDArray[Any]) -> None:
        """Keep a frame."""
        for array, field in zip(self.arrays, (u, v), strict=True):
            array[index] = field

    def flush(self) -> None:
        """Have the frames on disk before the checkpoint that builds on them."""
        for array in self.arrays:
            array.flush()


def _fits(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return False
    return bool(found.shape == shape and found.dtype == dtype)


def _metadata(output: Path, values: dict[str, Any]) -> dict[str, Json]:
    """Describe the frames; nothing in it depends on when or where they were made."""
    from foedus.apps.gray_scott.regimes import regime

    u, v = (np.load(output / f"{name}.npy", mmap_mode="r") for name in FIELDS)
    regimes = [regime(one, other, _rates(values)) for one, other in zip(u, v, strict=True)]
    return {
        "kind": KIND,
        "parameters": {name: value for name, value in values.items() if name != "checkpoint_s"},
        "fields": FIELDS,
        "shape": list(v.shape),
        "dtype": str(v.dtype),
        "steps": frame_steps(values["steps"], values["frames"]),
        "ranges": {
            name: [float(one.min()), float(one.max())] for name, one in zip(FIELDS, (u, v), strict=True)
        },
        "regimes": regimes,
        "regime": regimes[-1],
        "histogram": dict(Counter(regimes)),
    }


def _rates(values: dict[str, Any]) -> Rates:
    return Rates(values["F"], values["k"], values["Du"], values["Dv"])
