"""What the workers of these tests run. `run` does what the job's spec says."""

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time

from foedus.apps.warning import on_warning
from foedus.core.errors import Interrupted, InvalidData
from foedus.launch import JobFolder

SETUPS: list[int] = []


def set_up() -> None:
    SETUPS.append(os.getpid())


def broken_set_up() -> None:
    raise RuntimeError("no such device")


def deadly_set_up() -> None:
    os._exit(4)


def run(folder: JobFolder) -> None:
    spec = folder.read_spec()
    {name: action for name, action in globals().items() if name.startswith("do_")}[f"do_{spec['do']}"](folder)


def do_finish(folder: JobFolder) -> None:
    folder.finish({"pid": os.getpid(), "setups": SETUPS, "environment": dict(os.environ)})


def do_nothing(folder: JobFolder) -> None:
    pass


def do_raise(folder: JobFolder) -> None:
    raise ValueError("no \x1b[31mgood\ud800")


def do_refuse(folder: JobFolder) -> None:
    raise InvalidData("the partition is empty", "Give it some rows.")


def do_leave(folder: JobFolder) -> None:
    sys.exit("enough")


def do_finish_then_raise(folder: JobFolder) -> None:
    folder.finish({"good": True})
    raise ValueError("too late to matter")


def do_exit(folder: JobFolder) -> None:
    print("about to go")
    os._exit(3)


def do_die(folder: JobFolder) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def do_leave_temporary_file_and_die(folder: JobFolder) -> None:
    tempfile.mkstemp(suffix=".left")
    do_die(folder)


def do_segfault(folder: JobFolder) -> None:
    ctypes.string_at(0)


def do_die_once(folder: JobFolder) -> None:
    """Leave outputs behind in the first attempt, and none in the second."""
    mark = folder.path.parent / "died"
    if not mark.exists():
        mark.touch()
        folder.emit({"attempt": 1})
        (folder.path / "update.safetensors").write_bytes(b"torn")
        do_exit(folder)
    folder.finish({"left": sorted(os.listdir(folder.path))})


def do_finish_then_die(folder: JobFolder) -> None:
    folder.finish({"good": True})
    do_die(folder)


def do_damage(folder: JobFolder) -> None:
    (folder.path / "result.json").write_text("{not json")


def do_count_until_warned(folder: JobFolder) -> None:
    """Count up, go on from a checkpoint, and end once three attempts were warned."""
    checkpoint = folder.open_checkpoint()
    turns = int(checkpoint.read()) if checkpoint else 0
    warnings: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, frame: warnings.append(number))
    while not warnings and turns < 2:
        time.sleep(0.01)
    if turns == 2:
        folder.finish({"turns": turns})
        return
    folder.write_checkpoint([str(turns + 1).encode()])
    raise Interrupted


def do_save_when_warned(folder: JobFolder) -> None:
    """Write a checkpoint when warned, and go on from it the next time."""
    checkpoint = folder.open_checkpoint()
    if checkpoint is not None:
        with checkpoint:
            folder.finish({"from": checkpoint.read().decode()})
        return
    warnings: list[int] = []
    with on_warning(lambda: warnings.append(1)):
        _ready(folder, os.getpid())
        while not warnings:
            time.sleep(0.01)
    folder.write_checkpoint([b"where it was"])
    raise Interrupted


def do_hear_warnings_and_hang(folder: JobFolder) -> None:
    with on_warning(lambda: None):
        _say(folder, os.getpid())


def do_print(folder: JobFolder) -> None:
    print("from Python, ünïcode")
    print("to stderr", file=sys.stderr)
    os.write(1, b"from the descriptor \xff\n")
    ctypes.CDLL(None).puts(b"from C")
    subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
    folder.finish({})


def do_hang(folder: JobFolder) -> None:
    _say(folder, os.getpid())


def do_hang_with_child(folder: JobFolder) -> None:
    _say(folder, os.getpid(), _sleeper().pid)


def do_hang_with_daemon(folder: JobFolder) -> None:
    """The child leaves the process group, as daemons do."""
    _say(folder, os.getpid(), _sleeper(start_new_session=True).pid)


def do_exit_with_daemon(folder: JobFolder) -> None:
    with open(folder.path / "ready", "w") as pipe:
        pipe.write(f"{os.getpid()} {_sleeper(start_new_session=True).pid}")
    os._exit(3)


def do_hang_stubbornly(folder: JobFolder) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _say(folder, os.getpid())


def do_spin(folder: JobFolder) -> None:
    with open(folder.path / "ready", "w") as pipe:
        pipe.write(str(os.getpid()))
    while True:
        pass


def _sleeper(start_new_session: bool = False) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["/bin/sleep", "1000"], start_new_session=start_new_session)


def _say(folder: JobFolder, *processes: int) -> None:
    """Tell the test that we are here, and wait for our end."""
    _ready(folder, *processes)
    while True:
        signal.pause()


def _ready(folder: JobFolder, *processes: int) -> None:
    """Tell the test, which waits at a FIFO, that we are here."""
    with open(folder.path / "ready", "w") as pipe:
        pipe.write(" ".join(map(str, processes)))


def do_pause(folder: JobFolder) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pause()


EATEN: list[bytes] = []


def do_eat(folder: JobFolder) -> None:
    """Take as many MB as the spec says, and keep them also after the end of the job."""
    EATEN.append(b"x" * (int(folder.read_spec()["mb"]) << 20))
    _pause_if_asked(folder)
    folder.finish({"pid": os.getpid()})


def do_eat_in_children(folder: JobFolder) -> None:
    """Have two children take half of it each, one of them in a session of its own."""
    half = int(folder.read_spec()["mb"]) << 19
    code = f"x = b'x' * {half}; import signal; signal.pause()"
    for is_apart in (False, True):
        subprocess.Popen([sys.executable, "-c", code], start_new_session=is_apart)
    signal.pause()


def _pause_if_asked(folder: JobFolder) -> None:
    stays = folder.read_spec()["stays"]
    while stays == "always" or (stays == "after another" and len(EATEN) > 1):
        signal.pause()
