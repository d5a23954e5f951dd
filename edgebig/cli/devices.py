"""edgebig devices"""

from __future__ import annotations

from typing import Annotated

import typer

from edgebig.cli import options

devices_app = typer.Typer(
    help="The devices that can be named: list, examine, add and clean them.", rich_markup_mode=None
)
Name = Annotated[
    str, typer.Argument(help="A device, by its name or file.", autocompletion=options.complete_device)
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
    """Show a device's file with every key, what it means, and its default."""
    from edgebig import device, inventory, lookup

    target, path = device.load(name), lookup.find("devices", name)
    if json:
        options.print_json({"name": target.name, "file": str(path), **target.model_dump(mode="json")})
        return
    options.echo(f"# {path}")
    for line in inventory.explained(target).splitlines():
        options.echo(line)


@devices_app.command("clean")
def clean_device(name: Name, json: options.Json = False) -> None:
    """Take away what edgebig has put on a device: models, pictures, the runner."""
    from edgebig import device, drivers

    target = device.load(name)
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
