"""A new workspace: commented settings, the reports, the notebooks."""

from __future__ import annotations

import shutil
from pathlib import Path

from salesops_lib.config import FILE_NAME
from salesops_lib.errors import ParameterError

PACKAGE = Path(__file__).resolve().parent


def templates() -> Path:
    """Folder that holds the notebooks and reports: inside an installed package, else the checkout."""
    installed = PACKAGE / "_workspace"
    return installed if installed.is_dir() else PACKAGE.parent


def scaffold(folder: Path) -> list[Path]:
    """Write a workspace into `folder`; existing files are never touched.

    Raises
    ------
    ParameterError
        Where the folder already holds a workspace.
    """
    if (folder / FILE_NAME).exists():
        raise ParameterError(f"{folder} already holds a {FILE_NAME}; nothing was written.")
    source = templates()
    made = []
    for pattern in (FILE_NAME, "notebooks/*.ipynb", "reports/*.yaml"):
        for found in sorted(source.glob(pattern)):
            target = folder / found.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                shutil.copyfile(found, target)
                made.append(target)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("data/raw/\ndata/snapshots/\nreports/out/\n", encoding="utf-8")
        made.append(ignore)
    return made
