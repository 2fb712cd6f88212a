"""Pulled plugs, full disks and damaged files: nothing finished is lost or mistaken, and
the message names the file."""

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import data
from pipeline import datasets, manifest

ARRAYS = {"a": np.arange(40.0).reshape(8, 5), "names": np.array(["x", "yy"])}
LOOP = """
import sys
from pathlib import Path
import numpy as np
from pipeline import manifest
for i in range(10**6):
    values = np.full(30_000, float(sys.argv[2]) + i)
    manifest.write_cached(Path(sys.argv[1]), {"a": values})
"""


def same(found, expected=ARRAYS):
    np.testing.assert_equal(found, expected)
    return True


@pytest.fixture
def kept(tmp_path):
    manifest.write_cached(tmp_path / "kept.npz", ARRAYS)
    return tmp_path / "kept.npz"


def damaged(content, kind, position, bit):
    position %= len(content)
    if kind == "cut":
        return content[:position]
    changed = bytearray(content)
    changed[position] ^= 1 << bit
    return bytes(changed) if kind == "flip" else content + bytes(changed[position:])


kinds, bits = st.sampled_from(["flip", "cut", "append"]), st.integers(0, 7)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(kind=kinds, position=st.integers(0, 10**6), bit=bits)
def test_a_kept_file_is_whole_or_named_and_made_again(
    tmp_path_factory, kind, position, bit
):
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    manifest.write_cached(path, ARRAYS)
    path.write_bytes(damaged(path.read_bytes(), kind, position, bit))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = manifest.read_cached(path)
    if found is None:
        assert any(str(path) in str(warning.message) for warning in caught)
    else:
        assert same(found)


@settings(max_examples=40, derandomize=True, deadline=None)
@given(kind=kinds, position=st.integers(0, 10**9), bit=bits)
def test_any_change_of_a_shipped_file_is_named(tmp_path_factory, kind, position, bit):
    folder = tmp_path_factory.getbasetemp() / "shipped"
    folder.mkdir(exist_ok=True)
    shutil.copy(data.data_folder() / "manifest.json", folder)
    content = (data.data_folder() / "objects92.npz").read_bytes()
    content = damaged(content, kind, position, bit)
    (folder / "objects92.npz").write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HELPERS_SHIPPED", str(folder))
        with pytest.raises(ValueError, match=r"objects92\.npz is not the shipped file"):
            data.read_shipped("objects92.npz")


@pytest.mark.slow
def test_writers_killed_at_any_moment_or_two_at_once_leave_whole_files(tmp_path):
    path = tmp_path / "kept.npz"
    command = [sys.executable, "-c", LOOP, str(path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for moment in (0.0, 0.013, 0.1):
        first, second = (
            subprocess.Popen([*command, start], env=environment) for start in ("0", "7")
        )
        while not path.exists():
            time.sleep(0.01)
        time.sleep(moment)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        for _ in range(20):
            (values,) = data.read_arrays(path).values()
            assert len(values) == 30_000 and np.ptp(values) == 0
        second.kill()
        second.wait()
    assert len(data.read_arrays(path)["a"]) == 30_000


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KB, where this user may make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    with contextlib.suppress(FileNotFoundError):
        if not subprocess.run(["mount", *options], capture_output=True).returncode:
            yield folder
            subprocess.run(["umount", str(folder)], check=True)
            return
    pytest.skip("no file system can be mounted here")


def test_a_full_disk_keeps_what_was_there(small_disk):
    path = small_disk / "kept.npz"
    manifest.write_cached(path, ARRAYS)
    with pytest.raises(OSError) as caught:
        manifest.write_cached(path, {"a": np.random.default_rng(0).random(40_000)})
    assert caught.value.errno == errno.ENOSPC
    assert same(data.read_arrays(path)) and list(small_disk.iterdir()) == [path]


def test_without_space_or_permission_features_and_results_say_where(kept, monkeypatch):
    def refuse(source, target):
        raise PermissionError(errno.EACCES, "Permission denied", str(target))

    monkeypatch.setattr(manifest.os, "replace", refuse)
    with pytest.raises(PermissionError, match=r"kept\.npz"):
        manifest.write_cached(kept, {"a": np.zeros(3)})
    assert same(data.read_arrays(kept)) and list(kept.parent.iterdir()) == [kept]


def test_without_a_network_the_message_says_what_to_do(tmp_path, monkeypatch):
    def unreachable(name, folder):
        raise ConnectionError("no route to host")

    monkeypatch.setenv("HELPERS_DATA", str(tmp_path))
    monkeypatch.setattr(datasets, "MIRRORS", {"the origin": unreachable})
    with pytest.raises(datasets.DataUnavailable) as caught:
        datasets.load("mnist")
    for expected in ("no route to host", "mnist.npz", str(tmp_path), "load_sample"):
        assert expected in str(caught.value)


@pytest.mark.slow
def test_training_killed_in_the_middle_continues_with_the_same_bits(tmp_path):
    pytest.importorskip("torch")
    code = (
        "import sys; from pathlib import Path; from pipeline import training as t\n"
        "folder, recipe = Path(sys.argv[1]), t.Recipe(1)\n"
        "t.train_ensemble('mnist', range(2), folder, recipe, 'shipped', 1)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}

    def start(folder):
        command = [sys.executable, "-c", code, str(folder)]
        return subprocess.Popen(
            command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def models(folder):
        return sorted(Path(folder).glob("*/seed*.npz"))

    killed = start(tmp_path / "killed")
    until = time.monotonic() + 120
    while not models(tmp_path / "killed") and time.monotonic() < until:
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    finished = {p: p.stat().st_mtime_ns for p in models(tmp_path / "killed")}
    assert finished
    for folder in ("killed", "whole"):
        assert start(tmp_path / folder).wait() == 0
    assert all(path.stat().st_mtime_ns == when for path, when in finished.items())
    pairs = zip(models(tmp_path / "killed"), models(tmp_path / "whole"), strict=True)
    assert all(same(data.read_arrays(a), data.read_arrays(b)) for a, b in pairs)
