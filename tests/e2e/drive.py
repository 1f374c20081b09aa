"""Drive the run named on the command line to its end: `python -m tests.e2e.drive HOME RUN`."""

import sys
from pathlib import Path

from foedus.rounds.home import Home
from foedus.rounds.runs import drive_run

if __name__ == "__main__":
    print(drive_run(Home(Path(sys.argv[1])), sys.argv[2]).current)
