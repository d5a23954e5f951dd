"""Run folders: named apart, `latest` only when finished, and nothing deleted but what is a run in runs/."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from edgebig import artifact, files, recipe, runs
from edgebig.errors import EdgebigError

GOLDEN = Path(__file__).parent / "golden"
SPEC = recipe.parse(
    {"data": {"source": "digits-5k"}, "model": {"name": "digit-cnn"}}, "tiny", file="tiny.toml"
)
METRICS: dict[str, object] = {"schema": 1, "epochs": 1}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(*, finish: bool = True, variants: tuple[str, ...] = ()) -> runs.Run:
    run = runs.create(SPEC)
    card = artifact.read_card(GOLDEN / "digits-int8.json")
    for variant in variants:
        own = card.model_copy(update={"variant": variant})
        artifact.save(run.folder, variant, (GOLDEN / "digits-int8.tflite").read_bytes(), own)
    if finish:
        runs.finish(run, METRICS)
    return run


def problem_of(name: str | None) -> str:
    with pytest.raises(EdgebigError) as caught:
        runs.load(name)
    assert caught.value.hint
    return caught.value.problem


def test_two_in_one_second_get_two_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "strftime", lambda form: "20260102-030405")
    made = [make(finish=False) for _ in range(3)]
    assert [run.name for run in made] == [f"tiny-20260102-030405{end}" for end in ("", "-2", "-3")]
    assert all(runs.load(run.name).recipe == SPEC for run in made)


def test_latest_is_the_last_finished_one() -> None:
    assert problem_of(None) == "no finished run in runs/"
    assert problem_of("latest") == "no finished run in runs/"
    first = make()
    assert runs.load(None).folder == first.folder
    second = make(finish=False)
    assert runs.load("latest").folder == first.folder
    runs.finish(second, METRICS)
    # By its own name, and by a link that still holds when runs/ is moved.
    assert runs.load(None).folder == second.folder
    assert Path("runs/latest").readlink() == Path(second.name)
    assert [path.name for path in Path("runs").iterdir() if path.name.startswith(".")] == []


def test_latest_that_points_to_nothing() -> None:
    run = make()
    shutil.rmtree(run.folder)
    assert problem_of(None) == f"runs/latest: the run it points to, {run.name}, is gone"
    make()
    assert runs.load(None).finished


def test_a_run_is_named_by_name_and_by_path(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make()
    for name in (
        run.name,
        f"runs/{run.name}",
        f"runs/{run.name}/",
        str(here / "runs" / run.name),
        "runs/latest",
    ):
        assert runs.load(name).folder.resolve() == (here / run.folder)
        assert runs.load(name).name == run.name
    assert problem_of(run.name[:-1]) == f"no run '{run.name[:-1]}' (did you mean '{run.name}'?)"
    assert problem_of("zzz") == "no run 'zzz'"
    assert problem_of("") == "no run ''"
    assert problem_of("..") == "no run '..'"
    monkeypatch.chdir(run.folder)
    assert runs.load(".").recipe.name == "tiny"


def test_an_unfinished_run_is_refused_where_a_model_is_needed() -> None:
    run = make(finish=False)
    with pytest.raises(EdgebigError, match="has not finished") as caught:
        runs.finished(run.name)
    assert caught.value.hint == f"edgebig train --resume {run.folder}"
    assert not run.finished


def test_resolve_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make(variants=("float32", "int8"))
    os.utime(run.folder / "float32.tflite", ns=(0, 0))
    assert [path.name for path in run.variants()] == ["float32.tflite", "int8.tflite"]
    assert runs.resolve_model(None) == run.folder / "int8.tflite"
    assert capsys.readouterr().err == f"model: {run.folder}/int8.tflite\n"
    assert runs.resolve_model(run.name) == run.folder / "int8.tflite"
    capsys.readouterr()
    # What the user named is not said again.
    assert runs.resolve_model("elsewhere.tflite") == Path("elsewhere.tflite")
    odd = here / "model.bin"
    odd.write_bytes(b"")
    assert runs.resolve_model("model.bin") == Path("model.bin")
    assert capsys.readouterr().err == ""
    # A .tflite without its card is not whole yet.
    (run.folder / "int8.json").unlink()
    assert runs.resolve_model(None) == run.folder / "float32.tflite"
    (run.folder / "float32.json").unlink()
    with pytest.raises(EdgebigError, match=r"no \.tflite in it"):
        runs.resolve_model(None)


def test_what_a_killed_writer_left_is_no_variant() -> None:
    run = make(variants=("int8",))
    (run.folder / ".int8-abc123.tflite").write_bytes(b"half")
    assert [path.name for path in run.variants()] == ["int8.tflite"]


def test_the_overview_shows_a_damaged_run_and_the_others() -> None:
    broken, newer, good = make(), make(), make(variants=("int8",))
    for age, run in enumerate((broken, newer, good)):
        os.utime(run.folder / "recipe.toml", (1000 + age, 1000 + age))
    files.write_text(newer.folder / "recipe.toml", "# recipe: tiny\n[data]\nfrom_the_future = 1\n")
    os.utime(newer.folder / "recipe.toml", (1001, 1001))
    files.write_text(broken.metrics_path, '{"schema": 1')
    rows = runs.overview()
    assert [row["run"] for row in rows] == [broken.name, newer.name, good.name]
    assert [bool(row["problem"]) for row in rows] == [True, True, False]
    assert "not JSON" in str(rows[0]["problem"])
    assert "unknown key 'from_the_future'" in str(rows[1]["problem"])
    accuracy = artifact.read_card(GOLDEN / "digits-int8.json").host_accuracy
    variant = {"variant": "int8", "size_bytes": 4800, "accuracy": accuracy.value, "n": accuracy.n}
    assert rows[2] == {
        "run": good.name, "folder": str(good.folder), "recipe": "tiny", "finished": True, "problem": "",
        "metrics": METRICS, "variants": [variant],
    }  # fmt: skip
    assert [set(row) for row in rows] == [set(rows[2])] * 3


@pytest.mark.parametrize("damage", [b"\xff\xfe", b"# recipe: ../../x\n", b"", b"# recipe: a b\n"])
def test_a_damaged_recipe_is_one_error(damage: bytes) -> None:
    run = make()
    (run.folder / "recipe.toml").write_bytes(damage)
    assert "recipe.toml" in problem_of(run.name)


def test_metrics_of_another_schema() -> None:
    run = make()
    files.write_json(run.metrics_path, {"schema": 2})
    with pytest.raises(EdgebigError, match="a metrics file of schema 2, this edgebig reads schema 1"):
        runs.summary(run)


def test_no_runs_at_all() -> None:
    assert runs.overview() == []
    Path("runs").write_text("")
    assert runs.overview() == []
    with pytest.raises(FileExistsError):
        runs.create(SPEC)


def test_a_run_that_cannot_be_begun_leaves_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_text", fail)
    with pytest.raises(OSError, match="No space"):
        runs.create(SPEC)
    assert list(Path("runs").iterdir()) == []


def test_remove() -> None:
    first, second = make(variants=("int8",)), make()
    (first.folder / "bench").mkdir()
    (first.folder / "bench" / "a.json").write_text("{}")
    runs.remove(first.folder)
    assert not first.folder.exists()
    assert runs.load(None).folder == second.folder
    runs.remove(runs.locate("latest"))
    assert list(Path("runs").iterdir()) == []


def test_remove_a_run_that_cannot_be_read() -> None:
    run = make()
    (run.folder / "recipe.toml").write_bytes(b"\xff")
    runs.remove(runs.locate(run.name))
    assert not run.folder.exists()


def test_remove_deletes_nothing_outside_runs(here: Path) -> None:
    mine = here / "project"
    mine.mkdir()
    (mine / "recipe.toml").write_text("")
    (mine / "thesis.txt").write_text("years of work")
    run = make()
    (run.folder / "inside").symlink_to(mine, target_is_directory=True)
    (here / "runs" / "linked").symlink_to(mine, target_is_directory=True)
    (here / "runs" / "deep").mkdir()
    (here / "runs" / "deep" / "recipe.toml").write_text("")
    for name in ("linked", "runs/linked", "project", str(mine), f"runs/{run.name}/inside", "runs/../project"):
        with pytest.raises(EdgebigError, match=r"not a folder in runs/ itself"):
            runs.remove(runs.locate(name))
    (here / "runs" / "latest").unlink()
    (here / "runs" / "latest").symlink_to(mine)
    with pytest.raises(EdgebigError, match=r"not a folder in runs/ itself"):
        runs.remove(runs.locate("latest"))
    runs.remove(run.folder)
    assert (mine / "thesis.txt").read_text() == "years of work"


def test_remove_where_runs_itself_is_a_link(here: Path) -> None:
    (here / "big-disk").mkdir()
    Path("runs").symlink_to(here / "big-disk")
    run = make()
    runs.remove(runs.locate(run.name))
    assert list((here / "big-disk").iterdir()) == []


def test_a_remove_that_was_cut_short_can_be_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    run = make(variants=("int8",))
    (run.folder / "bench").mkdir()

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            runs.remove(run.folder)
    assert runs.locate(run.name) == run.folder
    runs.remove(run.folder)
    assert not run.folder.exists()


def test_a_run_remembers_where_its_data_was(here: Path) -> None:
    folder = here / "my data"
    folder.mkdir()
    run = runs.create(SPEC, data=Path("my data"))
    assert runs.data_folder(run.folder) == folder
    assert runs.load(str(run.folder)).recipe == SPEC
    folder.rmdir()
    assert runs.data_folder(run.folder) is None
    assert runs.data_folder(make().folder) is None
    assert runs.data_folder(here) is None
    # No line of a recipe can be smuggled in by a folder's name.
    odd = Path("a\n[train]")
    assert runs.load(str(runs.create(SPEC, data=odd).folder)).recipe == SPEC


def test_a_model_with_other_io_is_taken_only_by_its_name() -> None:
    run = make(variants=("float32", "int8", "int8-io-uint8"))
    assert runs.resolve_model(run.name).name == "int8.tflite"
    named = run.folder / "int8-io-uint8.tflite"
    assert runs.resolve_model(str(named)) == named
    # A record names its models, and `latest` will be another run tomorrow.
    assert runs.resolve_model("runs/latest/int8.tflite") == run.folder / "int8.tflite"


def test_two_cannot_train_one_run() -> None:
    run = make(finish=False)
    refused = pytest.raises(EdgebigError, match="another process is training it")
    with runs.training(run), refused, runs.training(run):
        pass
    with runs.training(run):
        pass
