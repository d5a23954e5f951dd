"""Recipes: every fault at once, one default a key, and files that are no recipes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig import device, recipe
from edgebig.errors import EdgebigError
from edgebig.recipe import Recipe

ROOT = Path(__file__).resolve().parent.parent
SMALLEST = {"data": {"source": "digits-5k"}, "model": {"name": "digit-cnn"}}


def parsed(*settings: str, **tables: Any) -> Recipe:
    return recipe.parse({**SMALLEST, **tables}, "r", settings, file="r.toml")


def problem_of(*settings: str, **tables: Any) -> str:
    with pytest.raises(EdgebigError) as caught:
        parsed(*settings, **tables)
    return caught.value.problem


def load_text(folder: Path, data: bytes | str, name: str = "r.toml") -> Recipe:
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return recipe.load(str(path))


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_recipes(path: Path) -> None:
    loaded = recipe.load(str(path))
    assert recipe.header(path)[0].startswith(f"edgebig train {path.stem}")
    assert recipe.parse(recipe.tomllib.loads(recipe.to_toml(loaded)), path.stem, file="") == loaded


@pytest.mark.parametrize("path", sorted((ROOT / "devices").glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_devices(path: Path) -> None:
    assert device.load(str(path)).about
    assert path.read_text("utf-8").startswith("# ")


def test_every_fault_at_once(tmp_path: Path) -> None:
    text = """
        nonsense = 1
        [data]
        source = "mnits"
        validation = true
        augment = { shift_px = nan, zom = 1 }
        [model]
        name = "digit-cnn"
        channels = [16, 0]
        [train]
        epoch = 3
        epochs = 1979-05-27
        batch_size = 64.0
        learning_rate = "fast"
        [compress.qta]
        [compress.qat]
        epchs = 1
        """
    with pytest.raises(EdgebigError) as caught:
        load_text(tmp_path, text)
    assert sorted(caught.value.problem.splitlines()) == [
        """r.toml [compress.qat]: unknown key 'epchs' (did you mean 'epochs'?)""",
        """r.toml [compress]: unknown key 'qta' (did you mean 'qat'?)""",
        """r.toml [data.augment]: shift_px = nan: must be a finite number""",
        """r.toml [data.augment]: unknown key 'zom' (did you mean 'zoom'?)""",
        """r.toml [data]: source = "mnits": must be one of digits-5k, mnist, fashion-mnist, idx:DIR, npz:FILE, """
        """images:DIR, csv:FILE, python:FILE:FUNCTION (did you mean 'mnist'?)""",
        """r.toml [data]: validation = true: must be a count (1, 5000) or a share between 0 and 1 (0.1)""",
        """r.toml [model]: channels = 0: must be greater than or equal to 1""",
        """r.toml [train]: batch_size = 64.0: must be a valid integer""",
        """r.toml [train]: epochs = "1979-05-27": must be a valid integer""",
        """r.toml [train]: learning_rate = "fast": must be a valid number""",
        """r.toml [train]: unknown key 'epoch' (did you mean 'epochs'?)""",
        """r.toml: unknown key 'nonsense'""",
    ]
    assert "--set" in caught.value.hint


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        (
            {"model": {"name": "x"}},
            "r.toml [model]: no model 'x', use one of 'digit-cnn', 'keras-convnet', 'picture-cnn', 'mlp', "
            "python:FILE:FUNCTION",
        ),
        (
            {"model": {"name": "mpl"}},
            "r.toml [model]: no model 'mpl' (did you mean 'mlp'?), use one of 'digit-cnn', 'keras-convnet', "
            "'picture-cnn', 'mlp', python:FILE:FUNCTION",
        ),
        ({"model": {"name": 3}}, "r.toml [model]: name = 3: must be a valid string"),
        ({"model": {"name": "python:own.py"}}, 'r.toml [model]: name = "python:own.py": must be python:FILE:FUNCTION'),
        ({"model": {"name": "mlp", "hiden": [3]}}, "r.toml [model]: unknown key 'hiden' (did you mean 'hidden'?)"),
        # A key of another model is no guess.
        ({"model": {"name": "mlp", "chanels": [3]}}, "r.toml [model]: unknown key 'chanels'"),
        ({"model": {"name": "mlp", "hidden": 3}}, "r.toml [model]: hidden = 3: must be a valid array"),
        (
            {"model": {"name": "picture-cnn", "channels": []}},
            "r.toml [model]: channels = []: must have 1 items or more",
        ),
        (
            {"model": {"name": "python:own.py:f", "options": {"two words": 1}}},
            "r.toml [model]: options = {\"two words\" = 1}: 'two words' is no name of an argument",
        ),
        (
            {"model": {"name": "python:own.py:f", "options": {"a": [1]}}},
            "r.toml [model]: options = {\"a\" = [1]}: 'a' must be a text, a number, true or false",
        ),
        ({"data": {"source": "mnist", "size": [28]}}, "r.toml [data]: size = [28]: must have more items"),
        (
            {"data": {"source": "mnist", "size": [1, 2, 3]}},
            "r.toml [data]: size = [1, 2, 3]: must have 2 items at most",
        ),
        (
            {"data": {"source": "mnist", "classes": ["1", "1"]}},
            'r.toml [data]: classes = ["1", "1"]: must be at least two different names',
        ),
        ({"data": {"source": "mnist", "classes": ["1", 7]}}, "r.toml [data]: classes = 7: must be a valid string"),
        (
            {"train": {"optimizer": "adamw"}},
            "r.toml [train]: weight_decay = 0.0: without it adamw is adam: give it one, as in 0.01, or take adam",
        ),
        (
            {"compress": {"qat": {"optimizer": "adamw", "weight_decay": 0}}},
            "r.toml [compress.qat]: weight_decay = 0: without it adamw is adam: give it one, as in 0.01, or take adam",
        ),
        (
            {"train": {"schedule": "one-cycle", "warmup_steps": 9}},
            "r.toml [train]: warmup_steps = 9: one-cycle climbs by itself; leave it out",
        ),
        ({"train": {"loss": "mse"}}, 'r.toml [train]: loss = "mse": must be cross-entropy, mean-squared-error or '
         "python:FILE:FUNCTION"),
        ({"model": {}}, "r.toml [model]: 'name' is missing"),
        ({"model": "digit-cnn"}, "r.toml: 'model' is a table, as in [model]"),
        ({"train": 3}, "r.toml: 'train' is a table, as in [train]"),
        ({"compress": {"qat": True}}, "r.toml [compress]: 'qat' is a table, as in [compress.qat]"),
        ({"data": {}}, "r.toml [data]: 'source' is missing"),
        ({"name": "x"}, "r.toml: unknown key 'name'"),
        ({"train": {"0": 1}}, "r.toml [train]: unknown key '0'"),
        ({"train": {"keep": "x" * 1000}}, 'r.toml [train]: keep = "' + "x" * 59 + ": must be 'best' or 'last'"),
    ],
)  # fmt: skip
def test_faults_of_form(tables: dict[str, Any], problem: str) -> None:
    assert problem_of(**tables) == problem


@pytest.mark.parametrize("value", [1, 5000, 0.1, 0.999, 1e-9])
def test_a_count_or_a_share(value: float) -> None:
    assert parsed(data={"source": "mnist", "validation": value, "test": value}).data.test == value


@pytest.mark.parametrize(
    "value", [0, -1, 0.0, 1.0, 1.5, -0.1, float("nan"), float("inf"), True, "0.1", [1], {}]
)
def test_neither_a_count_nor_a_share(value: Any) -> None:
    (problem,) = problem_of(data={"source": "mnist", "test": value}).splitlines()
    assert problem.startswith("r.toml [data]: test = ")
    assert problem.endswith(": must be a count (1, 5000) or a share between 0 and 1 (0.1)")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("fashion_mnist", "(did you mean 'fashion-mnist'?)"),
        ("imags:pets", "(did you mean 'images'?)"),
        ("digits5k", "(did you mean 'digits-5k'?)"),
        ("nothing like it", "python:FILE:FUNCTION"),
        ("mnist:x", "(did you mean 'mnist'?)"),
        ("", "python:FILE:FUNCTION"),
        ("images", "must say where, as in images:DIR"),
        ("csv:", "must say where, as in csv:FILE"),
        ("python:own.py", "must be python:FILE:FUNCTION"),
        ("python:own.py:two words", "must be python:FILE:FUNCTION"),
        ("python::load", "must be python:FILE:FUNCTION"),
    ],
)
def test_sources_that_are_none(source: str, said: str) -> None:
    (problem,) = problem_of(data={"source": source}).splitlines()
    assert problem.startswith(f'r.toml [data]: source = "{source}": must ')
    assert problem.endswith(said)


def test_paths_are_from_the_recipes_folder(
    tmp_path: Path, users_state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    text = """
        [data]
        source = "images:pets/../cats"
        augment = { function = "python:./own.py:rain" }
        [model]
        name = "python:~/models/own.py:build"
        options = { table = "csv:sizes.csv", note = "http:x", other = "images:" }
        [train]
        loss = "python:/abs/own.py:loss"
        [compress.qat]
        loss = "python:own.py:loss"
        """
    spec = load_text(tmp_path, text)
    assert spec.data.source == f"images:{tmp_path}/cats"
    assert spec.data.augment.function == f"python:{tmp_path}/own.py:rain"
    assert spec.model.name == f"python:{users_state}/models/own.py:build"
    assert isinstance(spec.model, recipe.PythonModel)
    assert spec.model.options == {"table": f"csv:{tmp_path}/sizes.csv", "note": "http:x", "other": "images:"}
    assert spec.train.loss == "python:/abs/own.py:loss"
    assert spec.compress.qat is not None
    assert spec.compress.qat.loss == f"python:{tmp_path}/own.py:loss"
    # What a run holds is the same wherever it is read.
    text = recipe.to_toml(spec)
    (tmp_path / "elsewhere").mkdir()
    assert load_text(tmp_path / "elsewhere", text) == spec


def test_paths_of_set_are_from_where_the_user_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    path = tmp_path / "r.toml"
    path.write_text('[data]\nsource = "npz:theirs.npz"\n[model]\nname = "digit-cnn"\n')
    assert recipe.load(str(path)).data.source == f"npz:{tmp_path}/theirs.npz"
    for text, source in (
        ("npz:mine.npz", f"npz:{tmp_path}/here/mine.npz"),
        ("npz:../mine.npz", f"npz:{tmp_path}/mine.npz"),
        ("python:own.py:load", f"python:{tmp_path}/here/own.py:load"),
        ("mnist", "mnist"),
    ):
        settings = [f"data.source={text}"]
        assert recipe.load(str(path), settings).data.source == source
        assert recipe.with_settings(parsed(), settings).data.source == source
    settings = ["data={source='csv:list.csv'}"]
    assert recipe.load(str(path), settings).data.source == f"csv:{tmp_path}/here/list.csv"


def test_an_empty_file_lacks_two_tables(tmp_path: Path) -> None:
    with pytest.raises(EdgebigError, match=r"^r.toml: 'data' is missing\nr.toml: 'model' is missing$"):
        load_text(tmp_path, "")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\xff\xfe", "not TOML: 'utf-8' codec"),
        (b"\x1f\x8b\x08\x00\x00", "not TOML"),
        (b"[data\n", "not TOML"),
        (b"a = 1\na = 2\n", "not TOML"),
        (b"a = " + b"9" * 5000, "not TOML"),
        (b"a = " + b"[" * 20_000, "nested too deep"),
        (b"a = " + b"{a=" * 300 + b"1" + b"}" * 300, "nested too deep"),
        (b"a" + b".a" * 100_000 + b" = 1", "nested too deep"),
        (b"#" * (1 << 19), "over 262,144 bytes"),
    ],
    ids=range(9),
)
def test_files_that_are_no_toml(tmp_path: Path, data: bytes, problem: str) -> None:
    with pytest.raises(EdgebigError, match=problem) as caught:
        load_text(tmp_path, data)
    assert caught.value.problem.startswith("r.toml: ")
    assert caught.value.hint


@pytest.mark.parametrize(
    "name", ["two words.toml", "größe.toml", "-x.toml", "new\nline.toml", "x" * 120 + ".toml"]
)
def test_a_name_that_is_no_folders(tmp_path: Path, name: str) -> None:
    with pytest.raises(EdgebigError, match="the name of the file may hold only"):
        load_text(tmp_path, '[data]\nsource = "mnist"\n[model]\nname = "digit-cnn"\n', name)


def test_the_defaults_stand_in_one_place() -> None:
    """No `get(key, default)` and no second default anywhere in the package."""
    assert parsed().train.model_dump() == {
        "epochs": 10, "learning_rate": 0.001, "batch_size": 128, "optimizer": "adam", "momentum": 0.9,
        "weight_decay": 0.0, "schedule": "cosine", "warmup_steps": 0, "step_epochs": 10, "step_factor": 0.1,
        "loss": "cross-entropy", "label_smoothing": 0.0, "ema": 0.0, "clip_norm": 0.0, "patience": 0, "keep": "best",
        "seed": 0, "start": None, "precision": "float32",
    }  # fmt: skip
    assert parsed().compress.prune is None
    keys = {key for table in recipe._keys(Recipe).values() for key in table}
    for path in (ROOT / "edgebig").rglob("*.py"):
        second = re.findall(r"\.get\(\s*[\"'](\w+)[\"']\s*,(?! \{\})", path.read_text("utf-8"))
        assert not keys & set(second) - {"name"}, f"{path}: a second default of {keys & set(second)}"


@pytest.mark.parametrize(
    ("setting", "read"),
    [
        ("train.epochs=3", lambda r: r.train.epochs == 3),
        (" train.epochs = 3 ", lambda r: r.train.epochs == 3),
        ("train.learning_rate=1", lambda r: r.train.learning_rate == 1.0),
        ("train.learning_rate=1e-4", lambda r: r.train.learning_rate == 1e-4),
        ("train.keep=last", lambda r: r.train.keep == "last"),
        ('train.keep="last"', lambda r: r.train.keep == "last"),
        ("model.channels=[8, 12, 16]", lambda r: r.model.channels == (8, 12, 16)),
        ("data.augment.zoom=0.1", lambda r: r.data.augment.zoom == 0.1),
        ("data.augment={zoom=0.1, shear=0.2}", lambda r: r.data.augment.shear == 0.2),
        ("compress.prune.sparsity=0.8", lambda r: r.compress.prune.sparsity == 0.8),
        ("compress.qat={}", lambda r: r.compress.qat.epochs == 3),
        ("model={name='keras-convnet', dropout=0.1}", lambda r: r.model.dropout == 0.1),
    ],
)
def test_set(setting: str, read: Any) -> None:
    assert read(parsed(setting))


def test_the_last_set_wins() -> None:
    assert parsed("train.epochs=3", "train.epochs=4").train.epochs == 4


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("train.epochs", "not of the form table.key=value"),
        ("", "not of the form"),
        ("=3", "not of the form"),
        ("train.=3", "not of the form"),
        ("train..epochs=3", "not of the form"),
        ("train.epochs=3\n[data]", "not of the form"),
        ("train.epochs=\udcff", "not of the form"),
        ("train.epochs.x=3", "'x' is not a table|'epochs' is not a table|must be a valid integer"),
        ("data.source.x=3", "'source' is not a table"),
        ("name=x", "unknown key 'name'"),
        ("train.epochs=three", 'epochs = "three": must be a valid integer'),
        ("train.epochs=", 'epochs = "": must be a valid integer'),
        ("train.epochs=true", "must be a valid integer"),
        ("train.epochs=0", "must be greater than or equal to 1"),
        ("train.epoch=3", "did you mean 'epochs'"),
        ("train.epochs=" + "[" * 20_000, "must be a valid integer"),
        ("a." * 300 + "a=1", "nested too deep"),
        ("a." * 40_000 + "a=1", "nested too deep"),
    ],
    ids=range(18),
)
def test_bad_forms_of_set(setting: str, problem: str) -> None:
    assert re.search(problem, problem_of(setting))


def test_set_on_a_resolved_recipe() -> None:
    assert recipe.with_settings(parsed(), ()) == parsed()
    assert recipe.with_settings(parsed(), ["train.seed=7"]).train.seed == 7
    with pytest.raises(EdgebigError, match=r"^--set \[train\]: unknown key 'sed' \(did you mean 'seed'\?\)$"):
        recipe.with_settings(parsed(), ["train.sed=7"])


def test_with_passes_keeps_a_pass_s_own_settings() -> None:
    spec = parsed(
        compress={"prune": {"epochs": 7, "sparsity": 0.3}, "slim": {"size_bytes": 9000, "epochs": 5}}
    )
    both = recipe.with_passes(spec, {"qat": {}, "prune": {"sparsity": 0.8}})
    assert both.compress.prune is not None
    assert (both.compress.prune.epochs, both.compress.prune.sparsity) == (7, 0.8)
    assert both.compress.qat is not None
    assert both.compress.qat.epochs == 3
    int8 = recipe.with_passes(spec, {"qat": {}})
    assert int8.compress.prune is None
    assert (int8.train, int8.data, int8.model, int8.name) == (spec.train, spec.data, spec.model, spec.name)
    # Of three targets one holds: the one that was asked for last.
    slim = recipe.with_passes(spec, {"slim": {"macs": 0.5}}).compress.slim
    assert slim is not None
    assert (slim.macs, slim.size_bytes, slim.epochs) == (0.5, None, 5)


@pytest.mark.parametrize("share", [0.0, 1.0, 1.5, -0.1, float("nan"), float("inf")])
def test_with_passes_takes_a_share(share: float) -> None:
    with pytest.raises(EdgebigError, match=r"\[compress.prune\]: sparsity"):
        recipe.with_passes(parsed(), {"prune": {"sparsity": share}})


def test_of_slim_s_targets_one() -> None:
    for tables in ({}, {"macs": 0.5, "latency": 0.5}):
        with pytest.raises(EdgebigError, match="one target of macs, size_bytes, latency"):
            parsed(compress={"slim": tables})


def floats(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, exclude_min=True, exclude_max=True)


FIT = {
    "epochs": st.integers(1, 10_000),
    "learning_rate": floats(0, 10),
    "batch_size": st.integers(1, 65_536),
    "optimizer": st.sampled_from(["sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop"]),
    "momentum": floats(0, 1),
    "weight_decay": floats(0, 1),
    "schedule": st.sampled_from(["constant", "step", "cosine", "one-cycle"]),
    "warmup_steps": st.integers(0, 1 << 40),
    "step_epochs": st.integers(1, 1 << 40),
    "step_factor": floats(0, 1),
    "loss": st.sampled_from(["cross-entropy", "mean-squared-error", "python:/a b/own.py:loss"]),
    "label_smoothing": floats(0, 1),
    "ema": floats(0, 1),
    "clip_norm": floats(0, 1e6),
    "patience": st.integers(0, 1 << 40),
    "keep": st.sampled_from(["best", "last"]),
}


def fits(**more: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any phase of descent, but for the two pairs of keys that do not go together."""

    def mended(tables: dict[str, Any]) -> dict[str, Any]:
        if tables.get("optimizer") == "adamw":
            tables = {"weight_decay": 0.01, **tables}
        if tables.get("schedule") == "one-cycle":
            tables = {**tables, "warmup_steps": 0}
        return tables

    return st.fixed_dictionaries({}, optional={**FIT, **more}).map(mended)


TEXTS = st.text(min_size=1, max_size=20)
SHARES = st.integers(1, 1 << 40) | floats(0, 1)
SOURCES = st.sampled_from(["digits-5k", "mnist", "fashion-mnist", "python:/own.py:load"]) | st.builds(
    "{}:/{}".format, st.sampled_from(["idx", "npz", "images", "csv"]), TEXTS
)
AUGMENTS = {
    "shift_px": floats(0, 1000), "rotate_deg": floats(0, 180), "zoom": floats(0, 1), "shear": floats(0, 1),
    "elastic_px": floats(0, 100), "elastic_scale_px": floats(2, 1000), "stroke_px": floats(0, 4),
    "blur_px": floats(0, 10), "noise": floats(0, 1), "cutout_px": st.integers(0, 1000), "mixup": floats(0, 10),
    "flip": st.booleans(),
    "brightness": floats(0, 1), "contrast": floats(0, 1), "fill": st.sampled_from(["black", "edge"]),
    "function": st.just("python:/own.py:rain"),
    "paper": st.fixed_dictionaries({}, optional={"copies": floats(0, 100), "nothings": floats(0, 10)}),
}  # fmt: skip
DATA = {
    "validation": SHARES, "test": SHARES, "classes": st.lists(st.text(max_size=9), min_size=2, max_size=4, unique=True),
    "size": st.lists(st.integers(1, 4096), min_size=2, max_size=2), "colour": st.sampled_from(["grey", "rgb"]),
    "fit": st.sampled_from(["pad", "crop", "stretch"]), "framing": st.sampled_from(["ink", "whole"]),
    "skip_broken": st.booleans(), "embedded": st.sampled_from(["leave-out", "validate"]),
    "augment": st.fixed_dictionaries({}, optional=AUGMENTS).filter(
        lambda given: not ("paper" in given and given.get("mixup"))
    ),
}  # fmt: skip
CHANNELS = st.integers(1, 512)
OPTIONS = st.dictionaries(
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True),
    st.text(max_size=20) | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans(),
    max_size=4,
)
MODELS = {
    "digit-cnn": st.integers(1, 5).flatmap(
        lambda stages: st.fixed_dictionaries(
            {
                "channels": st.lists(CHANNELS, min_size=stages, max_size=stages),
                "blocks": st.lists(st.integers(0, 16), min_size=stages, max_size=stages),
            }
        )
    )
    | st.fixed_dictionaries({}, optional={"channels": st.lists(CHANNELS, min_size=3, max_size=3)}),
    "keras-convnet": st.fixed_dictionaries({}, optional={"dropout": floats(0, 1)}),
    "picture-cnn": st.fixed_dictionaries(
        {},
        optional={
            "channels": st.lists(CHANNELS, min_size=1, max_size=8),
            "blocks": st.integers(0, 16),
            "dropout": floats(0, 1),
        },
    ),
    "mlp": st.fixed_dictionaries(
        {},
        optional={
            "hidden": st.lists(st.integers(1, 65_536), max_size=4),
            "activation": st.sampled_from(["relu", "tanh", "sigmoid"]),
            "dropout": floats(0, 1),
            "head": st.sampled_from(["softmax", "sigmoid"]),
        },
    ),
    "adopted": st.fixed_dictionaries(
        {"file": st.text(max_size=9), "sha256": st.text("0123456789abcdef", min_size=64, max_size=64)},
        optional={"low": floats(-2, 0.5), "high": floats(1, 300)},
    ),
    "python:/a b/own.py:build": st.fixed_dictionaries({}, optional={"options": OPTIONS}),
}
RECIPES = st.fixed_dictionaries(
    {
        "data": st.fixed_dictionaries({"source": SOURCES}, optional=DATA),
        "model": st.one_of([keys.map({"name": name}.__or__) for name, keys in MODELS.items()]),
    },
    optional={
        "train": fits(seed=st.integers(0, 2**31 - 1), precision=st.sampled_from(["float32", "mixed"])),
        "compress": st.fixed_dictionaries({}, optional={"prune": fits(sparsity=floats(0, 1)), "qat": fits()}),
        "convert": st.fixed_dictionaries({}, optional={"io": st.sampled_from(["int8", "uint8", "float32"])}),
    },
)


def test_the_strategies_know_every_key() -> None:
    """So that no key is added to a recipe without being written and read back."""
    assert set(AUGMENTS) == set(recipe.Augment.model_fields)
    assert {"source", *DATA} == set(recipe.Data.model_fields)
    assert set(FIT) == set(recipe.Fit.model_fields)
    assert [name.partition(":")[0] for name in MODELS] == list(recipe._MODELS)


@given(tables=RECIPES)
def test_what_is_written_is_read_back(tables: dict[str, Any]) -> None:
    spec = recipe.parse(tables, "r", file="r.toml")
    text = recipe.to_toml(spec)
    assert recipe.parse(recipe.tomllib.loads(text), "r", file="r.toml") == spec
    assert recipe.to_toml(recipe.parse(recipe.tomllib.loads(text), "r", file="r.toml")) == text


def test_paper_has_pictures_that_mixup_could_not_mix() -> None:
    tables = {"data": {"source": "mnist", "augment": {"mixup": 0.2, "paper": {}}}, "model": {"name": "mlp"}}
    with pytest.raises(EdgebigError, match="paper has pictures of no class, which mixup would mix"):
        recipe.parse(tables, "r", file="r.toml")
    spec = recipe.parse(tables, "r", ["data.augment.mixup=0"], file="r.toml")
    assert spec.data.augment.paper == recipe.Paper(copies=1.0, nothings=0.3)


def test_every_default_is_written_out() -> None:
    text = recipe.to_toml(parsed(compress={"qat": {}}))
    for key in (
        "batch_size",
        "label_smoothing",
        "keep",
        "seed",
        "shift_px",
        "channels",
        "[compress.qat]",
        "io",
    ):
        assert key in text


@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_recipe_or_one_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.toml"
    path.write_bytes(data)
    with pytest.raises(EdgebigError):
        recipe.load(str(path))
    recipe.header(path)


def test_header(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(b"# edgebig train r\n#\n#   99 \xff %\n\n# not the header\n")
    assert recipe.header(path) == ["edgebig train r", "", "99 \ufffd %"]


def test_a_device_knows_its_keys(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text('kind = "loacl"\nthread = 2\nthreads = true\n')
    with pytest.raises(EdgebigError) as caught:
        device.load(str(path))
    assert caught.value.problem == "board.toml: no kind 'loacl'"
    path.write_text('kind = "local"\nthread = 2\nthreads = true\n')
    with pytest.raises(EdgebigError) as caught:
        device.load(str(path))
    assert (
        caught.value.problem.splitlines()[-1] == "board.toml: unknown key 'thread' (did you mean 'threads'?)"
    )
    assert len(caught.value.problem.splitlines()) == 2
    path.write_text('kind = "local"\nname = "mine"\n')
    with pytest.raises(EdgebigError, match="unknown key 'name'"):
        device.load(str(path))
