"""What a user reads when a file is wrong, and what a name or a path finds."""

import pickle
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from spaces import CATALOG, InputError, LawError, Space, catalog_names, find, load_space, read_toml, validate
from spaces.errors import close_match, did_you_mean, key_path, listed, shown


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Circle(Strict):
    kind: Literal["circle"] = "circle"
    radius: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Square(Strict):
    kind: Literal["square"] = "square"
    side: Annotated[int, Field(ge=1, le=9)]


class Pen(Strict):
    color: Literal["red", "blue"] = "blue"
    width: int | None = None


class Drawing(Strict):
    """A model with all that a file may hold: tables, lists, unions with and without a tag, laws of its own."""

    name: Annotated[str, Field(min_length=1)] = "plain"
    pen: Pen = Pen()
    shapes: list[Annotated[Circle | Square, Field(discriminator="kind")]] = []
    named: dict[str, Annotated[Circle | Square, Field(discriminator="kind")]] = {}
    zoom: float | Literal["auto"] = "auto"
    corners: Annotated[list[int], Field(min_length=1)] = [1]
    either: list[int] | str = ""
    enqueue: list[dict[str, str | int | float | bool]] = []

    @field_validator("name")
    @classmethod
    def _no_test(cls, name):
        if name == "test":
            raise ValueError('is taken (name = "test")')
        return name

    @model_validator(mode="after")
    def _keep_laws(self):
        laws = [(f"enqueue[{place}]", "is empty") for place, params in enumerate(self.enqueue) if not params]
        if self.zoom == 0:
            laws.append(("zoom", "must not be 0"))
        if laws:
            raise LawError(laws)
        return self


def problems(**data):
    with pytest.raises(InputError) as error:
        validate(Drawing, data, "drawing.toml")
    return error.value.problems


# The lines


def test_one_problem_is_one_line_and_more_are_a_list():
    assert str(InputError("mlp.toml", ["a: is wrong"])) == "mlp.toml: a: is wrong"
    assert str(InputError("mlp.toml", ["a: is wrong", "b: too"])) == "mlp.toml: 2 problems\n  a: is wrong\n  b: too"


def test_an_input_error_crosses_processes():
    error = pickle.loads(pickle.dumps(InputError("mlp.toml", ["a: is wrong"])))
    assert (error.where, error.problems, error.exit_code) == ("mlp.toml", ["a: is wrong"], 2)


def test_sound_data_become_the_model():
    drawing = validate(Drawing, {"shapes": [{"kind": "circle", "radius": 1}], "pen": {"color": "red"}}, "x.toml")
    assert drawing.shapes == [Circle(radius=1.0)]
    assert drawing.pen.color == "red"


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({"nmae": "a"}, 'unknown key "nmae"; did you mean "name"?'),
        ({"pen": {"colour": "red"}}, 'pen: unknown key "colour"; did you mean "color"?'),
        ({"pen": {"ink": 1}}, 'pen: unknown key "ink"; there are "color" and "width"'),
        ({"pen": {"color": "rad"}}, 'pen.color: unknown word "rad"; did you mean "red"?'),
        ({"pen": {"color": "BLUE"}}, 'pen.color: unknown word "BLUE"; did you mean "blue"?'),
        ({"pen": {"color": "green"}}, 'pen.color: unknown word "green"; there are "red" and "blue"'),
        ({"pen": {"color": 3}}, 'pen.color: must be "red" or "blue" (came 3)'),
        ({"pen": {"width": "2"}}, 'pen.width: must be a whole number (came "2")'),
        ({"pen": {"width": True}}, "pen.width: must be a whole number (came true)"),
        ({"pen": 3}, "pen: must be a table (came 3)"),
        ({"shapes": {}}, "shapes: must be a list (came {})"),
        ({"shapes": [{"kind": "circel"}]}, 'shapes[0].kind: unknown word "circel"; did you mean "circle"?'),
        ({"shapes": [{}]}, 'shapes[0].kind: must be given: "circle" or "square"'),
        ({"shapes": [{"kind": 1}]}, 'shapes[0].kind: must be "circle" or "square" (came 1)'),
        ({"shapes": [{"kind": "circle"}]}, "shapes[0].radius: must be given"),
        ({"shapes": [{"kind": "circle", "radius": 0.0}]}, "shapes[0].radius: must be above 0.0 (came 0.0)"),
        ({"named": {"a b": {"kind": "square", "side": 10}}}, 'named."a b".side: must be at most 9 (came 10)'),
        ({"named": {"square": {"kind": "square", "side": 0}}}, "named.square.side: must be at least 1 (came 0)"),
        (
            {"named": {"one": {"kind": "square", "side": 1, "square": 2}}},
            'named.one: unknown key "square"; there are "kind" and "side"',
        ),
        ({"named": {"one": {"kind": "circle", "radius": float("nan")}}}, "must be a finite number (came nan)"),
        ({"zoom": "atuo"}, 'zoom: must be a number or "auto" (came "atuo")'),
        ({"zoom": 0.0}, "zoom: must not be 0"),
        ({"name": "test"}, 'name: is taken (name = "test")'),
        ({"name": ""}, "name: must not be empty"),
        ({"name": 3}, "name: must be text (came 3)"),
        ({"corners": []}, "corners: must not be empty"),
        ({"corners": ["a"]}, 'corners[0]: must be a whole number (came "a")'),
        ({"either": 3}, "either: must be a list or text (came 3)"),
        ({"enqueue": [{"a": [1]}]}, "enqueue[0].a: must be text or a number or true or false (came [1])"),
        ({"enqueue": [{"a": 1}, {}]}, "enqueue[1]: is empty"),
    ],
)
def test_a_problem_is_told_with_its_key_its_law_and_the_value_that_came(data, line):
    told, *others = problems(**data)
    assert told.endswith(line)
    assert told == line or line.startswith("must be a finite")
    assert others == []


def test_every_problem_of_a_file_comes_at_once():
    assert problems(
        nmae="a",
        pen={"color": "rad", "width": 1.5},
        shapes=[{"kind": "circle", "radius": "1"}, {"kind": "square", "side": 1, "radius": 2}],
    ) == [
        'pen.color: unknown word "rad"; did you mean "red"?',
        "pen.width: must be a whole number (came 1.5)",
        'shapes[0].radius: must be a number (came "1")',
        'shapes[1]: unknown key "radius"; there are "kind" and "side"',
        'unknown key "nmae"; did you mean "name"?',
    ]


def test_several_laws_of_one_model_come_at_once():
    assert problems(enqueue=[{}, {"a": 1}, {}], zoom=0) == [
        "enqueue[0]: is empty",
        "enqueue[2]: is empty",
        "zoom: must not be 0",
    ]


def test_values_are_shown_as_a_file_has_them():
    assert shown(True) == "true"
    assert shown("a\n") == '"a\\n"'
    assert shown({"a b": [1, 0.5, "x"]}) == '{ "a b" = [1, 0.5, "x"] }'
    assert len(shown("long" * 100)) == 80
    assert listed(["a", 1, True]) == '"a", 1 or true'
    assert len(listed(["long" * 100, "short"])) < 100
    assert key_path(["enqueue", 0, "a.b", "c"]) == 'enqueue[0]."a.b".c'


def test_a_guess_is_made_only_where_a_known_word_is_close():
    assert did_you_mean("hihg", ["low", "high"]) == '; did you mean "high"?'
    assert did_you_mean("xyz", ["low", "high"]) == '; there are "low" and "high"'
    assert did_you_mean("xyz", ["low"]) == '; there is "low"'
    assert did_you_mean("xyz", []) == ""
    assert did_you_mean("xyz", [f"name{number}" for number in range(100)]).endswith(" and 88 more")
    assert close_match("xyz", ["low", "high"]) == ""


# Reading


def write(folder, content, name="space.toml"):
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"a = 1\nb 2\n", "is no TOML: * (at line 2, column 3)"),
        (b"a = 1\na = 2\n", "is no TOML: * (at line 2, column 6)"),
        (b"a = 1\nb = '\xff'\n", "is no UTF-8 text (byte 0xff, line 2)"),
        (b"a = 1\n\nb = '\x00'\n", "is no text (a NUL character, line 3)"),
        (b"a = 1\n# \x00\n", "is no text (a NUL character, line 2)"),
        (b"#" * 1_000_001, "is larger than 1 MB; a file of this kind takes a few kB"),
        (b"[b]\na = [0, 10000000000000]\n", "b.a[1]: whole numbers go to 10^12 (came 10000000000000)"),
        (b"a = -1000000000001\n", "a: whole numbers go to 10^12 (came -1000000000001)"),
        (b"a = " + b"[" * 5000, "is n*"),
        (b"a." * 100 + b"a = 1\n", "is nested too deeply"),
    ],
)
def test_a_file_that_is_no_toml_is_told_with_the_line(tmp_path, content, line):
    path = write(tmp_path, content)
    with pytest.raises(InputError) as error:
        read_toml(path)
    assert error.value.where == str(path)
    assert fnmatchcase(error.value.problems[0], line.replace("[", "[[]"))


def test_a_number_of_more_digits_than_python_reads_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds a number of more digits than can be read"):
        read_toml(write(tmp_path, b"a = " + b"9" * 5000))


def test_a_file_may_begin_with_a_byte_order_mark_and_end_its_lines_as_windows_does(tmp_path):
    assert read_toml(write(tmp_path, b"\xef\xbb\xbfa = 1\r\nb = 'x'\r\n")) == {"a": 1, "b": "x"}


def test_a_missing_file_and_a_folder_are_told(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file or directory"):
        read_toml(tmp_path / "none.toml")
    with pytest.raises(InputError, match="is a folder, not a file"):
        read_toml(tmp_path)


def test_a_file_below_the_current_folder_is_called_by_its_relative_path(tmp_path, monkeypatch):
    path = write(tmp_path, b"a\n", "odd.toml")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"^odd\.toml: is no TOML"):
        read_toml(path)


# Finding


def test_every_space_of_the_catalog_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert {"cnn", "mlp"} <= set(catalog_names(CATALOG))
    for name in catalog_names(CATALOG):
        space = load_space(name)
        assert space.description
        assert space.problems_with(space.default()) == []


def test_a_path_starts_in_the_folder_it_is_relative_to(tmp_path, monkeypatch):
    (tmp_path / "spaces").mkdir()
    path = write(tmp_path / "spaces", (CATALOG / "mlp.toml").read_bytes(), "own.toml")
    assert find("space", "spaces/own.toml", CATALOG, relative_to=tmp_path) == path
    assert find("space", "own.toml", CATALOG, relative_to=tmp_path / "spaces") == path
    assert find("space", str(path), CATALOG, relative_to=Path("/")) == path
    assert load_space("own.toml", relative_to=tmp_path / "spaces") == load_space("mlp")
    monkeypatch.chdir(tmp_path)
    assert find("space", "./spaces/own.toml", CATALOG).samefile(path)


def test_an_unknown_name_is_told_with_the_names_there_are():
    with pytest.raises(InputError) as error:
        find("space", "mpl", CATALOG)
    there = ", ".join(catalog_names(CATALOG))
    assert str(error.value) == f'mpl: no space of this name; the catalog has {there}; did you mean "mlp"?'


@pytest.mark.parametrize("name", ["pkg.models", "pkg/models.py:build", "models:build()", ""])
def test_what_cannot_be_the_name_of_a_hypermodel_is_told_in_a_line(name):
    with pytest.raises(InputError) as error:
        load_space(f"keras_tuner:{name}")
    law = 'a hypermodel is "keras_tuner:package.module:build_model"'
    assert str(error.value) == f'space: {law} (came "keras_tuner:{name}")'


def test_a_name_is_looked_for_among_the_files_beside_it(tmp_path):
    write(tmp_path, b"", "iris.toml")
    for name in ("iris", "iris.tml", "irsi.tom"):
        with pytest.raises(InputError, match=r'; did you mean "iris[.]toml"[?]$'):
            find("study", name, CATALOG, relative_to=tmp_path)
    with pytest.raises(InputError, match=r'; did you mean "mlp"[?]$'):
        find("study", "mpl", CATALOG, relative_to=tmp_path)


def test_a_catalog_without_files_is_told(tmp_path):
    with pytest.raises(InputError, match="digits: no study of this name; the catalog is empty"):
        find("study", "digits", tmp_path)


def test_no_name_at_all_as_a_script_s_empty_variable_gives_is_seen_in_the_error():
    with pytest.raises(InputError, match=r'^"": no study of this name'):
        find("study", "", CATALOG)


def test_a_path_that_is_not_there_is_told_with_the_file_that_was_meant(tmp_path):
    write(tmp_path, b"", "fashion.toml")
    with pytest.raises(InputError) as error:
        find("study", "fahsion.toml", CATALOG, relative_to=tmp_path)
    assert str(error.value) == f'{tmp_path / "fahsion.toml"}: no such file; did you mean "fashion.toml"?'
    with pytest.raises(InputError, match=r"no such file$"):
        find("study", "nowhere/x.toml", CATALOG, relative_to=tmp_path)


def test_a_space_file_reports_as_the_house_style_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = """
        model = "mlp"
        [parameters]
        learning_rate = { type = "float", low = 0.0, high = 0.1, log = true }
        layers = { type = "int", low = 1, high = 3, hihg = 3 }
    """
    write(tmp_path, text.encode(), "fashion_mlp.toml")
    with pytest.raises(InputError) as error:
        load_space("fashion_mlp.toml")
    assert str(error.value) == (
        "fashion_mlp.toml: 2 problems\n"
        "  parameters.learning_rate: low must be above 0 when log = true (low = 0.0)\n"
        '  parameters.layers: unknown key "hihg"; did you mean "high"?'
    )


def test_the_catalog_holds_the_spaces_that_the_manual_describes():
    cnn, mlp = load_space("cnn"), load_space("mlp")
    assert isinstance(cnn, Space)
    assert (cnn.model, mlp.model) == ("cnn", "mlp")
    assert cnn.parameters["filters"].grid() == (16, 32, 64, 128)
    assert cnn.parameters["filters"].per == "blocks"
    assert mlp.parameters["units"].grid() == (32, 64, 128, 256)
    assert mlp.parameters["momentum"].when == {"optimizer": ("sgd",)}
