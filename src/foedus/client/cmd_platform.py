"""The commands that run the platform: serve, worker, up."""

import logging
from typing import Annotated

import typer

from foedus.client.output import say
from foedus.client.shell import HomeOption, open_shell

HostOption = Annotated[
    str | None,
    typer.Option("--host", metavar="ADDRESS", help="Address to listen on; else what config.toml says."),
]
PortOption = Annotated[
    int | None,
    typer.Option(
        "--port",
        min=0,
        max=65535,
        help="Port to listen on, 0 for any free one; else what config.toml says.",
    ),
]


def serve(home: HomeOption = None, host: HostOption = None, port: PortOption = None) -> None:
    """Serve the platform's pages and API. Runs go on only while a worker runs, too: `foedus up` starts both.

    \b
    Examples:
      foedus serve
      foedus serve --port 8650
    """
    from foedus.server.app import create_app
    from foedus.server.logs import speak_json
    from foedus.server.platform import open_platform
    from foedus.server.serve import address_of, listen
    from foedus.server.serve import serve as answer
    from foedus.server.services.first_account import setup_code

    shell = open_shell(home)
    speak_json(logging.getLogger("foedus"))
    with open_platform(shell.settings) as opened:
        said = {"host": host} if host else {}
        wanted = opened.server.port if port is None else port
        with listen(host or opened.server.host, wanted) as listening:
            taken = {} if port is None else {"port": listening.getsockname()[1]}
            platform = opened.told(**said, **taken)
            where = platform.server.public_url or address_of(listening)

            def tell() -> None:
                say(f"Foedus is at {where}", "bold")
                if code := setup_code(platform):
                    say(f"Make the first account at {where}/welcome?code={code}")

            answer(create_app(platform), listening, tell)


def up(
    home: HomeOption = None,
    host: HostOption = None,
    port: PortOption = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Come with a project of three members that federates at once.")
    ] = False,
) -> None:
    """Run the whole platform here: pages, API and worker. Ctrl-C ends them all.

    \b
    Examples:
      foedus up
      foedus up --demo --home my-platform
    """
    from foedus.server.demo import make_demo
    from foedus.server.platform import open_platform
    from foedus.server.serve import foedus, run_together

    shell = open_shell(home)
    with open_platform(shell.settings) as platform:  # a new database gets its tables here, not twice at once
        if demo:
            make_demo(platform)
    where = ["--home", str(shell.home.root)]
    listening = [] if host is None else ["--host", host]
    listening += [] if port is None else ["--port", str(port)]
    run_together(
        {"web": foedus("serve", *where, *listening), "worker": foedus("worker", *where)},
    )


def worker(home: HomeOption = None) -> None:
    """Do the platform's work: drive runs, submit batch jobs, follow the chain. Ctrl-C loses nothing.

    Several are safe: one works, the others stand by.

    \b
    Examples:
      foedus worker
      foedus worker --home my-platform
    """
    import signal
    import threading

    from foedus.server.logs import speak_json
    from foedus.server.platform import open_platform
    from foedus.server.worker.loop import PlatformWorker

    shell = open_shell(home)
    speak_json(logging.getLogger("foedus"))
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with open_platform(shell.settings) as platform:
        say("the worker works; Ctrl-C stops it")
        PlatformWorker(platform, stop).run()
