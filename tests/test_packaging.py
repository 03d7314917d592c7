"""The wheel runs anywhere: what is not Python travels in it, and nothing is read from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The built wheel; built without a network, with the hatchling of the dev extra."""
    target = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*build, "--wheel-dir", str(target), str(PROJECT)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (path,) = target.glob("ice_agent-*.whl")
    return zipfile.ZipFile(path)


@pytest.mark.parametrize(
    ("folder", "place"),
    [("ice_agent", "ice_agent"), ("memory", "memory"), ("migrations", "memory/migrations")],
)
def test_every_file_travels(wheel, folder, place):
    files = [path for path in (PROJECT / folder).rglob("*") if path.is_file() and _is_shipped(path)]
    expected = {f"{place}/{path.relative_to(PROJECT / folder).as_posix()}" for path in files}
    assert expected
    assert expected - set(wheel.namelist()) == set()


def test_the_reference_model_its_world_and_the_type_markers_travel(wheel):
    names = set(wheel.namelist())
    model = {
        f"ice_agent/reference/model/{name}" for name in ("config.json", "model.safetensors", "tokenizer.json")
    }
    world = {"ice_agent/reference/geography.csv", "ice_agent/reference/names.toml"}
    assert (model | world | {"ice_agent/py.typed", "memory/py.typed"}) - names == set()


def test_site_packages_gets_two_packages_and_nothing_of_a_general_name(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"ice_agent", "memory"}


def test_the_model_is_small_enough_to_travel(wheel):
    (weights,) = [entry for entry in wheel.infolist() if entry.filename.endswith("model/model.safetensors")]
    assert weights.file_size <= 12_000_000


def test_the_installed_wheel_starts_from_any_directory(wheel, tmp_path):
    site = tmp_path / "site"
    wheel.extractall(site)
    environment = os.environ | {"PYTHONPATH": str(site)}
    run = [sys.executable, "-c", "from ice_agent.cli import main; main()"]
    for verb in (["--help"], ["init"], ["status"]):
        done = subprocess.run(
            [*run, *verb], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def _is_shipped(path: Path) -> bool:
    """False for what git ignores: bytecode, and the checkpoint of a training that was interrupted."""
    return "__pycache__" not in path.parts and path.name != "training.pt"
