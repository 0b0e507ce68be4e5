"""The verbs of `toprung spaces`: what may vary."""

from __future__ import annotations

from typing import Annotated

import typer

from search.cli_options import Json, print_json, show_file, two_columns

SPACE = typer.Argument(help="A space file, or a name in the catalog.", metavar="SPACE")

spaces_app = typer.Typer(no_args_is_help=True, help="Spaces: what may vary.")


@spaces_app.command("list", epilog="Example: toprung spaces list")
def spaces_list(json: Json = False) -> None:
    """The spaces that ship with toprung."""
    from spaces import CATALOG, catalog_names, load_space

    found = {name: load_space(name).description for name in catalog_names(CATALOG)}
    if json:
        print_json(*({"name": name, "description": text} for name, text in found.items()))
    else:
        typer.echo(two_columns(found))


@spaces_app.command("show", epilog="Example: toprung spaces show cnn")
def spaces_show(
    space: Annotated[str | None, SPACE] = None,
    from_keras_tuner: Annotated[
        str | None,
        typer.Option("--from-keras-tuner", help="The space of a Keras Tuner hypermodel.", metavar="MODULE:BUILD"),
    ] = None,
    json: Json = False,
) -> None:
    """The text of a space, to copy and change."""
    from spaces import CATALOG, find

    if (space is None) == (from_keras_tuner is None):
        raise typer.BadParameter("give a SPACE or --from-keras-tuner")
    if from_keras_tuner is not None:
        _show_hypermodel(from_keras_tuner, json)
    else:
        show_file(find("space", str(space), CATALOG), json)


@spaces_app.command("check", epilog="Example: toprung spaces check my_space.toml")
def spaces_check(
    space: Annotated[str, SPACE],
    json: Json = False,
) -> None:
    """Check a space and draw its default configuration."""
    from reports.words import counted
    from search.models import check_space
    from spaces import CATALOG, find, load_space, shown_path

    found = load_space(space)
    check_space(found, shown_path(find("space", space, CATALOG)))
    default = found.default()
    if json:
        print_json({"space": space, "parameters": len(found.parameters), "model": found.model, "default": default})
        return
    typer.echo(f"{space}: {counted(len(found.parameters), 'parameter')}, model {found.model}")
    for name, value in default.items():
        typer.echo(f"  {name} = {value!r}")


def _show_hypermodel(name: str, as_json: bool) -> None:
    import tomllib

    from search.devices import choose_backend
    from search.discovery import discovered
    from spaces.space import HYPERMODEL
    from spaces.toml import space_to_toml

    space, notes = discovered(f"{HYPERMODEL}{name}", choose_backend(None))
    for note in notes:
        typer.echo(note, err=True)
    text = space_to_toml(space.model_dump(mode="json"))
    print_json(tomllib.loads(text)) if as_json else typer.echo(text, nl=False)
