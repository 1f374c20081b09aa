"""Experiments of the package, one TOML file each: `foedus experiment run NAME` carries one out."""
