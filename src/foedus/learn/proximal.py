"""The pull of FedProx (Li et al. 2020), added to what a client minimises:  (μ/2) Σ_{tensors} ‖w − base‖²."""

from collections.abc import Sequence

import torch


class ProximalPenalty:
    """(μ/2) Σ ‖w − base‖² over the given parameters, whose present values are the base."""

    def __init__(self, parameters: Sequence[torch.Tensor], mu: float) -> None:
        self._parameters = list(parameters)
        self._base = [parameter.detach().clone() for parameter in self._parameters]
        self._pull = [
            torch.empty_like(base) for base in self._base
        ]  # scratch, so that steps allocate nothing
        self._mu = mu

    @torch.no_grad()
    def add_gradient(self) -> None:
        """Add μ (w − base) to the gradients; parameters without gradient did not move and stay without."""
        torch._foreach_copy_(self._pull, self._parameters)
        torch._foreach_sub_(self._pull, self._base)
        used = [
            (p.grad, pull) for p, pull in zip(self._parameters, self._pull, strict=True) if p.grad is not None
        ]
        torch._foreach_add_([grad for grad, _ in used], [pull for _, pull in used], alpha=self._mu)

    @torch.no_grad()
    def value(self) -> float:
        """Return the penalty: half of μ times the SUM of squares over all tensors."""
        pairs = zip(self._parameters, self._base, strict=True)
        return self._mu / 2 * sum(float((p - base).double().square().sum()) for p, base in pairs)
