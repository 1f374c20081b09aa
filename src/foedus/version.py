"""The version of Foedus, where every part may read it without loading the others."""

VERSION = "0.1.0"
