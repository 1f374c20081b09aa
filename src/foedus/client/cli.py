"""The command `foedus`. Nothing heavy is imported here: each command imports what it needs when it runs."""

from typing import Annotated

import typer

import foedus
from foedus.client import (
    cmd_admin,
    cmd_algorithms,
    cmd_app,
    cmd_chain,
    cmd_compare,
    cmd_config,
    cmd_dataset,
    cmd_experiment,
    cmd_index,
    cmd_job,
    cmd_login,
    cmd_look,
    cmd_model,
    cmd_platform,
    cmd_remote,
    cmd_remote_details,  # noqa: F401 - its commands join those of `remote`
    cmd_remote_work,  # noqa: F401 - its commands join those of `remote`
    cmd_runs,
    cmd_site,
    cmd_store,
)
from foedus.client.shell import FoedusGroup

EXIT_CODES = (
    "Exit codes: 0 done, 1 error, 2 wrong usage, spec or data, 3 verification failed, 130 interrupted."
)

app = typer.Typer(
    cls=FoedusGroup,
    name="foedus",
    help="Train one model together on the clusters you already have, without sharing data.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _command, _panel in (
    (cmd_runs.demo, "Runs"),
    (cmd_runs.run, "Runs"),
    (cmd_runs.resume, "Runs"),
    (cmd_compare.compare, "Runs"),
    (cmd_look.status, "Runs"),
    (cmd_look.verify, "Runs"),
    (cmd_look.report, "Runs"),
    (cmd_platform.serve, "Platform"),
    (cmd_platform.worker, "Platform"),
    (cmd_platform.up, "Platform"),
    (cmd_login.login, "Platform"),
    (cmd_login.logout, "Platform"),
    (cmd_login.whoami, "Platform"),
):
    app.command(rich_help_panel=_panel)(_command)
app.add_typer(cmd_remote.app, name="remote", rich_help_panel="Platform")
app.add_typer(cmd_admin.app, name="admin", rich_help_panel="Platform")
app.command(rich_help_panel="Models, data and what lies beneath")(cmd_algorithms.algorithms)
app.add_typer(cmd_experiment.app, name="experiment", rich_help_panel="Runs")
for _group, _name in (
    (cmd_app.app, "app"),
    (cmd_job.app, "job"),
    (cmd_dataset.app, "dataset"),
    (cmd_model.app, "model"),
    (cmd_config.data_app, "data"),
    (cmd_config.config_app, "config"),
    (cmd_site.app, "site"),
    (cmd_store.app, "store"),
    (cmd_chain.app, "chain"),
    (cmd_index.app, "index"),
):
    app.add_typer(_group, name=_name, rich_help_panel="Models, data and what lies beneath")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"foedus {foedus.__version__}")
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[
        bool, typer.Option("--debug", help="Print the traceback of an unexpected error.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Train one model together on the clusters you already have, without sharing data."""


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
