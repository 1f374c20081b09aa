"""Programs that stand in for Slurm's commands, and a home folder whose settings name them."""

import stat
from pathlib import Path

VERSION = '[ "$1" = --version ] && echo "slurm 22.05.8" && exit 0'


def commands(folder: Path, **scripts: str) -> Path:
    """Make a folder with these shell scripts."""
    folder.mkdir()
    for name, script in scripts.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return folder


def waiting_slurm(folder: Path, answers_after_s: float = 0) -> Path:
    """Make commands of a Slurm that takes a batch job, says so only later, and never starts it."""
    queue = folder / "queue"
    line = f'echo "7|PENDING|Resources|${{a#*=}}" > {queue}'
    note = f'for a in "$@"; do case $a in --job-name=*) {line};; esac; done'
    return commands(
        folder,
        sbatch=f"{VERSION}\n{note}\nsleep {answers_after_s:g}\necho 7",
        squeue=f"{VERSION}\ncat {queue} 2>/dev/null\nexit 0",
        scancel=f'{VERSION}\necho "$@" >> {folder / "cancelled"}',
    )


def slurm_home(folder: Path, programs: Path) -> Path:
    """Write the settings for these programs into a home folder."""
    folder.mkdir(exist_ok=True)
    text = f'launcher = "slurm"\n[slurm]\ncommands = "{programs}"\ntimeout_s = 5\n'
    (folder / "config.toml").write_text(text)
    return folder
