"""The one entry point of all launchers: does what a job folder orders, a round's task or an application."""

from foedus.apps.builtin import BUILT_IN
from foedus.core.errors import InvalidSpec
from foedus.launch import JobFolder


def run_job(folder: JobFolder) -> None:
    """Run the round's task or the application that `spec.json` names; only its module is imported."""
    spec = folder.read_spec()
    if spec.get("kind") == "prepare-members":
        from foedus.apps.members import run_prepare_members

        return run_prepare_members(folder, spec)
    if "application" not in spec:
        from foedus.rounds.tasks import run_task

        return run_task(folder)
    if "command" in spec:
        from foedus.apps.program import run_program

        return run_program(folder)
    entry = next((one.entry for one in BUILT_IN if one.name == spec["application"]), "")
    if not entry:
        raise InvalidSpec(f"{str(spec['application'])[:60]!r} is no application that runs as a batch job")
    from foedus.launch._code import load
    from foedus.rounds.home import full_disk_told

    with full_disk_told(folder.path):
        load(entry)(folder)
