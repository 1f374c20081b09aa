"""Kubernetes: batch jobs as `batch/v1` Jobs, through the official client."""

from foedus.launch.kubernetes.scheduler import KubernetesScheduler
from foedus.launch.kubernetes.site import KubernetesSite, Toleration, Volume

__all__ = ["KubernetesScheduler", "KubernetesSite", "Toleration", "Volume"]
