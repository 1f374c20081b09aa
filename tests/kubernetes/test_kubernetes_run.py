"""A federation, by the command line, on a fake Kubernetes: what `config.toml` says reaches the Jobs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.kubernetes.fake_api import FakeApi

from foedus.launch import JobFolder
from foedus.rounds.home import Home

pytestmark = pytest.mark.slow

SETTINGS = """
launcher = "kubernetes"

[resources]
memory_mb = 1000
walltime_s = 600

[resources.FL_TRAIN]
cpus = 2

[kubernetes]
image = "foedus:1"
kubeconfig = "{config}"
volume = {{ claim = "work", root = "{root}" }}
user = 1000
group = 1000
poll_s = 0.5
"""
SPEC = """
name = "small"
rounds = 2

[model]
name = "2nn"

[data]
source = "small"
images = 300
test = 60
shared = 60

[partition]
kind = "iid"
clients = 3

[training]
learning_rate = 0.1
batch_size = 16

[policy]
beta = -0.5
epsilon = 0.3
"""


def foedus(*arguments: str, home: Path) -> str:
    command = [sys.executable, "-m", "foedus.client.cli", *arguments, "--home", str(home)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_three_clients_train_as_they_would_here(api: FakeApi, tmp_path: Path) -> None:
    api.cluster.claims["work"] = str(tmp_path)
    home, spec = tmp_path / "home", tmp_path / "small.toml"
    home.mkdir()
    config = api.write_kubeconfig(tmp_path / "kubeconfig")
    (home / "config.toml").write_text(SETTINGS.format(config=config, root=tmp_path))
    spec.write_text(SPEC)
    on_kubernetes = json.loads(foedus("run", str(spec), "--format", "json", home=home))
    assert on_kubernetes["version"] == 2
    foedus("verify", "small-1", home=home)
    here = json.loads(foedus("run", str(spec), "--format", "json", home=tmp_path / "here"))
    assert on_kubernetes["model"] == here["model"]

    folders = [path.parent for path in Home(home).runs.glob("small-1/jobs/*/*/batch.json")]
    assert len(folders) == 2 * 3 * 2  # training, then merging
    assert all(JobFolder(folder).attempts() == [] for folder in folders)
    containers = [job["spec"]["template"]["spec"]["containers"][0] for job in api.cluster.jobs.values()]
    assert all(container["resources"]["limits"]["memory"] == "1000Mi" for container in containers)
    assert {container["resources"]["limits"]["cpu"] for container in containers} >= {"2"}
