"""The registry of applications: what `foedus app list` shows and `foedus app submit` runs.

The built-in ones are in `foedus.apps.builtin`; a home folder's own ones are TOML files (`foedus.apps.files`).
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from foedus.apps.application import NAME, Application
from foedus.apps.builtin import BUILT_IN
from foedus.core.errors import InvalidSpec
from foedus.learn.arguments import hint_for

if TYPE_CHECKING:
    from foedus.rounds.home import Home


def applications(home: "Home") -> dict[str, Application]:
    """Return all applications by name: the built-in ones, then those of the home folder.

    One of the home folder's that is not usable is among them, with its `fault`; under its file's name where
    its own cannot be had.
    """
    found = {one.name: one for one in BUILT_IN}
    folder = home.root / "applications"
    if folder.is_dir():
        from foedus.apps.files import try_application

        for path in sorted(folder.glob("*.toml")):
            one = try_application(path)
            if one.name not in found:
                found[one.name] = one
                continue
            other = found[one.name]
            fault = f"{path}: there is an application {one.name} already ({other.origin})"
            # of two files of one name neither is taken; a built-in application cannot be replaced
            name = path.name if other in BUILT_IN else one.name
            found[name] = replace(one, name=name, title=f"damaged: {fault}", fault=fault)
    return found


def find_application(home: "Home", name: str) -> Application:
    """Look an application up. Raises `InvalidSpec` naming the nearest usable one, or what is wrong with it.

    A faulty file in the home folder is no hindrance to other applications; it may hold the one that is sought
    where it tells no name.
    """
    for one in BUILT_IN:
        if one.name == name:
            return one
    known = applications(home)
    if name not in known:
        hint = hint_for(name, [one.name for one in known.values() if not one.fault])
        nameless = [one.name for one in known.values() if one.fault and not NAME.fullmatch(one.name)]
        if nameless:
            hint += f" Damaged files without a name: {', '.join(nameless)}; `foedus app show` tells of each."
        raise InvalidSpec(f"there is no application {name[:60]!r}", hint)
    if known[name].fault:
        raise InvalidSpec(known[name].fault, "docs/how-to/own-application.md has an example of such a file.")
    return known[name]
