"""edgebig devices"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from edgebig.cli import options
from edgebig.errors import EdgebigError

devices_app = typer.Typer(
    help="The devices that can be named: list, examine, add, clean.", rich_markup_mode=None
)
Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="A device, by its name or file.", autocompletion=options.complete_device
    ),
]


def add_to(app: typer.Typer) -> None:
    app.add_typer(devices_app, name="devices")


@devices_app.callback(invoke_without_command=True)
def _devices(context: typer.Context, json: options.Json = False) -> None:
    """The devices that can be named: list, examine, add and clean them."""
    if context.invoked_subcommand is None:
        list_devices(json)


@devices_app.command("list")
def list_devices(json: options.Json = False) -> None:
    """List the devices that can be named."""
    from edgebig import inventory

    rows = inventory.overview()
    if json:
        options.print_json(rows)
        return
    for row in rows:
        options.echo(f"{row['name']:20} {row.get('kind', '?'):8} {row['problem'] or row['about']}")


@devices_app.command("show")
def show_device(name: Name, json: options.Json = False) -> None:
    """Show a device's file: each key, its meaning and default."""
    from edgebig import device, inventory, lookup

    target, path = device.load(name), lookup.find("devices", name)
    if json:
        options.print_json({"name": target.name, "file": str(path), **target.model_dump(mode="json")})
        return
    options.echo(f"# {path}")
    for line in inventory.explained(target).splitlines():
        options.echo(line)


@devices_app.command("probe")
def probe_device(name: Name, json: options.Json = False) -> None:
    """Find out what a device is, and try each runtime on it.

    Each of its delegates is tried, too.
    """
    from edgebig import device, probe
    from edgebig.report import probe as report

    found = probe.probe(device.load(name))
    if json:
        options.print_json(found.record())
        return
    for line in report.lines(found):
        options.echo(line)


@devices_app.command("add")
def add_device(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it: pi4.")],
    serial: Annotated[
        str, typer.Argument(metavar="SERIAL", help="With --adb: which phone, where several are attached.")
    ] = "",
    ssh: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Linux board: what you would give to ssh.")
    ] = None,
    adb: Annotated[bool, typer.Option("--adb", help="An Android phone.")] = False,
    local: Annotated[bool, typer.Option("--local", help="This machine.")] = False,
    port: Annotated[int | None, typer.Option(metavar="N", help="With --ssh: its port.")] = None,
    python: Annotated[
        str, typer.Option(metavar="COMMAND", help="The command that starts the Python to use there.")
    ] = "",
    benchmark_model: Annotated[
        str, typer.Option(metavar="FILE", help="With --adb: TFLite's tool for that phone.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Write over a device of that name.")] = False,
    json: options.Json = False,
) -> None:
    """Add a device: it is examined, and its file written.

    The file lies in your configuration folder.
    """
    from edgebig import enrol
    from edgebig.report import probe as report

    kind, keys = _reach(ssh, adb, local, serial, port, python, benchmark_model)
    added = enrol.add(name, kind, keys, force=force)
    if json:
        probed = added.probe.record() if added.probe else None
        options.print_json({"added": str(added.path), "advice": added.advice, "probe": probed})
        return
    for line in report.lines(added.probe) if added.probe else []:
        options.echo(line)
    options.echo(f"added: {added.path}")
    if added.advice:
        options.echo(added.advice)


def _reach(
    ssh: str | None, adb: bool, local: bool, serial: str, port: int | None, python: str, benchmark_model: str
) -> tuple[str, dict[str, Any]]:
    """The kind that the options name, and the keys that they give. Raises EdgebigError where they contradict."""
    ways = [kind for kind, asked in (("ssh", ssh is not None), ("adb", adb), ("local", local)) if asked]
    if len(ways) != 1:
        raise EdgebigError(
            "how is it reached?" if not ways else f"{' and '.join(f'--{way}' for way in ways)}: one way only",
            "give one of --ssh USER@ADDRESS, --adb, --local",
        )
    given = {
        "address": ssh,
        "port": port,
        "serial": serial,
        "benchmark_model": benchmark_model,
        "python": python,
    }
    keys = {key: value for key, value in given.items() if value not in (None, "")}
    if ssh == "":
        raise EdgebigError("--ssh: no address", "as in --ssh pi@raspberrypi.local")
    return ways[0], keys


@devices_app.command("setup")
def set_up_device(
    name: Name,
    remove: Annotated[bool, typer.Option("--remove", help="Take the environment away again.")] = False,
    json: options.Json = False,
) -> None:
    """Put a Python environment with a pinned runtime on a board.

    It needs no network and no root there.
    """
    from edgebig import device, setup

    target = device.load(name)
    done = setup.uninstall(target) if remove else setup.install(target)
    if json:
        options.print_json(done)
        return
    words = {"nothing": "nothing to do" if remove else "is there already"}.get(done["did"], done["did"])
    what = f", {done['runtime']}" if "runtime" in done else ""
    options.echo(f"{done['device']}: {words}{what}")
    if done.get("advice"):
        options.echo(f"write into {name}'s file: {done['advice']}")


@devices_app.command("clean")
def clean_device(name: Name, json: options.Json = False) -> None:
    """Take away what edgebig has put on a device.

    Models, pictures and the runner.
    """
    from edgebig import device, drivers

    target = device.load(name)
    if target.kind == "browser":
        raise EdgebigError(
            f"{name}: nothing is put on a phone", "close its page; its browser keeps what it likes"
        )
    with next(iter(drivers.connect(target).sessions())) as session:
        session.clean()
    if json:
        options.print_json({"device": target.name, "cleaned": True})
    else:
        options.echo(f"{target.name}: nothing that bench put there is left")


@devices_app.command("rm")
def remove_device(name: Name, json: options.Json = False) -> None:
    """Forget a device that 'devices add' wrote. What is on the board stays: clean it first."""
    from edgebig import inventory

    path = inventory.remove(name)
    if json:
        options.print_json({"deleted": str(path)})
    else:
        options.echo(f"{path}: deleted")
