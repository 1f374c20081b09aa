"""Training many clients of one model: a block of them at once (`train_batched`), or fast one by one.

Both start every client from the same base and do what `local_sgd` of `foedus.learn.training` does: same order
of examples per seed, same number of steps, momentum, weight decay and FedProx's pull. `train_serial` gives
its very bits. `train_batched` sums in another order, so its last bits differ: by some 1e-8 per step.
"""

from foedus.learn.batched.result import BatchResult, OnBlock
from foedus.learn.batched.serial import train_serial
from foedus.learn.batched.together import require_plain, train_batched

__all__ = ["BatchResult", "OnBlock", "require_plain", "train_batched", "train_serial"]
