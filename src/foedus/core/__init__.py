"""The vocabulary of Foedus: ids, frozen records, errors and the protocols. Standard library only, no I/O."""
