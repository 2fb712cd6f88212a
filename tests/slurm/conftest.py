"""The fixture of a running SLURM."""

import os
import shutil
import signal
import sys

import pytest

from slurm_node import PROGRAMS, answer, start, wait_for


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """The folder of a running SLURM; skipped by name where it is not installed."""
    path = os.environ["PATH"] + os.pathsep + "/usr/sbin"
    missing = [name for name in PROGRAMS if not shutil.which(name, path=path)]
    if missing:
        pytest.skip(f"SLURM is not installed: no {', '.join(missing)} (`make slurm`)")
    folder = tmp_path_factory.mktemp("slurm", numbered=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", path)
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        patch.setenv("SBATCH_OUTPUT", str(folder / "job-%j.out"))
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        started = start(folder)
        try:
            wait_for(lambda: "idle" in answer("sinfo", "-h", "-o", "%T"), "the node")
            yield folder
        finally:
            answer("scancel", "--user", str(os.getuid()))
            for process in reversed(started):
                process.send_signal(signal.SIGTERM)
            for process in started:
                process.wait(20)
