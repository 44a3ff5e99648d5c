"""Puts the dashboard into the wheel: app.py, pages/, .streamlit/ and assets/ become `llm_core/_dashboard/`.

They stand beside the package in a checkout, because Streamlit wants them there; an installed `glassbox` finds the copy
(`llm_core.cli.dashboard.dashboard_file`). Everything else about the package is in pyproject.toml.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
DASHBOARD = Path("llm_core", "_dashboard")


def dashboard_files() -> list[Path]:
    """What the dashboard needs at run time, relative to the checkout; pictures of the README stay out."""
    found = [Path("app.py"), Path(".streamlit", "config.toml")]
    for folder, pattern in (("pages", "*.py"), ("assets", "*.svg"), ("assets", "favicon.png")):
        found += sorted(path.relative_to(ROOT) for path in (ROOT / folder).glob(pattern))
    return found


class BuildWithDashboard(build_py):
    """The ordinary step, and the copy. An editable installation needs none: the checkout is there."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for path in dashboard_files():
            target = Path(self.build_lib, DASHBOARD, path)
            self.mkpath(str(target.parent))
            self.copy_file(str(ROOT / path), str(target), preserve_mode=False)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        copied = (
            [] if self.editable_mode else [str(Path(self.build_lib, DASHBOARD, path)) for path in dashboard_files()]
        )
        return super().get_outputs(include_bytecode) + copied


setup(cmdclass={"build_py": BuildWithDashboard})
