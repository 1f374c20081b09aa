"""Settings of all tests. Being here, it also puts this folder on the import path."""

import signal

# Started in the background of a script, we inherit an ignored SIGINT, and so would
# the processes that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
