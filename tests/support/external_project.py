"""A project outside of this repository, with an environment that has only the built wheel."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tools.project import SAM, clean_environment, local_aws


@dataclass(frozen=True, slots=True)
class Outside:
    """An environment, and the folder of a project.

    Attributes:
        environment: has the wheel and its dependencies.
        project: need not exist yet.
    """

    environment: Path
    project: Path

    @classmethod
    def from_wheel(cls, wheel: Path, folder: Path) -> "Outside":
        """Make an environment that has the wheel.

        Args:
            wheel: the file.
            folder: of the environment; the project's is "project" in it.
        """
        environment = folder / "environment"
        made = cls(environment, folder / "project")
        pip = str(environment / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"
        made.run(sys.executable, "-m", "venv", str(environment), folder=folder)
        made.run(*pip, f"{wheel}[cli]", folder=folder)
        return made

    def treadle(
        self, *arguments: str, folder: Path | None = None, aws: str = "", status: int = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run the installed command in the project; see `run`."""
        return self.run(
            str(self.environment / "bin" / "treadle"), *arguments, folder=folder, aws=aws, status=status
        )

    def run(
        self, *command: str, folder: Path | None = None, aws: str = "", status: int = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as a user of the project does.

        Args:
            command: and its arguments.
            folder: working directory; None for the project.
            aws: the URL of a local cloud, if needed.
            status: the expected exit status.
        """
        # The layers' makefiles call python3 for its pip: the environment's, as the system's may have none.
        path = os.pathsep.join([str(self.environment / "bin"), str(SAM.parent), os.environ["PATH"]])
        environment = (local_aws(aws) if aws else clean_environment()) | {
            "PATH": path,
            "SAM_CLI_TELEMETRY": "0",
        }
        # A caller that uses make passes on make's own flags, which are not for the project's makefiles.
        for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
            environment.pop(name, None)
        done = subprocess.run(
            command, cwd=folder or self.project, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == status, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done
