"""Names: as a path, in ./recipes, in the user's folder, in the package; in this order."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgebig import lookup
from edgebig.errors import EdgebigError

SHIPPED = [
    "article-logistic", "article-mlp", "digits", "digits-camera", "digits-camera-small", "digits-nano", "digits-quick",
    "digits-small", "digits-teacher", "fashion", "keras-convnet",
]  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    return path


def test_the_order(here: Path, users_state: Path) -> None:
    packaged = lookup.find("recipes", "digits")
    assert packaged.parent == lookup.shelves("recipes")[-1]
    users = put(users_state / ".config" / "edgebig" / "recipes" / "digits.toml")
    assert lookup.find("recipes", "digits") == users
    local = put(Path("recipes/digits.toml"))
    assert lookup.find("recipes", "digits") == local
    # A path is a path, even where a shelf has that name.
    other = put(here / "digits.toml")
    assert lookup.find("recipes", "digits.toml") == Path(other.name)
    assert lookup.find("recipes", str(packaged)) == packaged
    assert lookup.available("recipes")["digits"] == local
    assert sorted(lookup.available("recipes")) == SHIPPED


def test_the_wheel_carries_them_inside(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "_PACKAGE", here / "site-packages" / "edgebig")
    inside = put(here / "site-packages" / "edgebig" / "devices" / "pi.toml")
    put(here / "site-packages" / "devices" / "strangers.toml")
    assert lookup.available("devices") == {"pi": inside}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("digits-quikc", r"no recipe 'digits-quikc' \(did you mean 'digits-quick'\?\)"),
        ("zzz", r"no recipe 'zzz'$"),
        ("", r"no recipe ''$"),
        ("digits.toml", r"digits.toml: no such file"),
        ("recipes/digits", r"recipes/digits: no such file"),
        ("../../etc/passwd", "no such file"),
        ("./", "a folder, not a file"),
        ("x" * 5000, "no recipe 'xxx"),
    ],
)
def test_names_that_are_not_there(name: str, problem: str) -> None:
    with pytest.raises(EdgebigError, match=problem) as caught:
        lookup.find("recipes", name)
    assert "edgebig recipes" in caught.value.hint


def test_what_is_no_file_of_the_user_is_not_listed() -> None:
    Path("recipes/folder.toml").mkdir(parents=True)
    Path("recipes/dangling.toml").symlink_to("nowhere")
    put(Path("recipes/.killed-abc123.toml"))
    put(Path("recipes/notes.txt"))
    assert sorted(lookup.available("recipes")) == SHIPPED


def test_a_shelf_that_is_a_file_or_another_users(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("recipes").write_text("")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(put(here / "file")))
    assert sorted(lookup.available("recipes")) == SHIPPED


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    assert lookup.config_dir().name == "edgebig"  # XDG_CONFIG_HOME is enough
    monkeypatch.delenv("XDG_CACHE_HOME")
    with pytest.raises(EdgebigError, match="no home folder"):
        lookup.cache_dir()
