"""The contract (`*.vy`) and its compiled form (`Foedus.json`)."""
