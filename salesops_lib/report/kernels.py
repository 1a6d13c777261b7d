"""Kernels forked from a warm parent: a papermill engine, and what starts the kernel for it.

``papermill --engine salesops`` works too: with a warm parent in reach (its address in ``SALESOPS_WARM``) its
kernels are forked, else they are ordinary ones.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner
from papermill.engines import NBClientEngine

from salesops_lib.report import prelude
from salesops_lib.report.warm import ADDRESS, Forked

ENGINE, PROVISIONER = "salesops", "salesops-warm"  # as pyproject.toml registers them


class Provisioner(LocalProvisioner):
    """Starts a kernel by asking the warm parent for a fork."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> dict[str, Any]:
        """Launch a kernel with a command of which only the arguments count."""
        started = cmd.index("ipykernel_launcher") + 1
        env, cwd = kwargs.get("env"), kwargs.get("cwd")
        self.process = Forked(
            os.environ[ADDRESS], f"{__name__}:serve", env=env, cwd=str(cwd or Path.cwd()), argv=cmd[started:]
        )
        self.pid = self.pgid = self.process.pid
        self.cwd = cwd or Path.cwd()
        return self.connection_info


class Manager(AsyncKernelManager):
    """An ordinary manager whose Python kernels come from the warm parent."""

    @property
    def kernel_spec(self):
        """The kernel's specification, with our provisioner in it."""
        spec = super().kernel_spec
        if spec is not None and "ipykernel_launcher" in spec.argv:
            spec.metadata = spec.metadata | {"kernel_provisioner": {"provisioner_name": PROVISIONER, "config": {}}}
        return spec


class Engine(NBClientEngine):
    """papermill's own engine, with kernels from the warm parent where there is one."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> Any:
        """Execute a notebook as papermill does."""
        if os.environ.get(ADDRESS):
            kwargs["kernel_manager_class"] = Manager
        return super().execute_managed_notebook(nb_man, kernel_name, **kwargs)


def serve(argv: list[str]) -> None:
    """Be the kernel that ``python -m ipykernel_launcher`` would be."""
    from ipykernel.kernelapp import IPKernelApp

    sys.argv = [find_spec("ipykernel_launcher").origin, *argv]
    os.environ.pop(ADDRESS, None)  # what a notebook starts is no business of the warm parent
    if matplotlib := sys.modules.get("matplotlib"):
        os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
        matplotlib.rcParams["backend"] = os.environ["MPLBACKEND"]
    app = IPKernelApp.instance()
    for done in prelude.DONE:
        app.user_ns = done.module.__dict__
    app.initialize(argv)
    for done in prelude.DONE:
        done.enter(app.shell)
    app.start()
