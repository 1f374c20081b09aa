"""One installation: its settings, and the launchers, batch jobs and limits that follow from them."""
