"""Serve from a read-only root as the image's user, and measure: `python -m deploy.prove`.

`deploy.image` runs this in separate mount, network and process namespaces. Only the loopback
network exists, and all mounts end with the process. The result is printed as JSON.
"""

import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

SET_FLAGS, UP = 0x8914, 0x1
"""SIOCSIFFLAGS and IFF_UP of netdevice(7)."""
URL = "http://127.0.0.1:8000"
TIMEOUT_S = 120.0
TMP = "/tmp"  # noqa: S108 - in the container, in memory
PHANTOM = Path("examples/phantom.png")
PHANTOM_PIXEL_SIZE_MM = 0.1277
UNWANTED = ("torch", "setuptools", "pytest")
COMPILERS = ("gcc", "cc", "g++", "clang")
SPOOLED_BYTES = 1_000_000
"""The form parser writes larger uploads to /tmp."""


@dataclass(frozen=True)
class Container:
    """The image configuration that a container engine would use.

    Attributes
    ----------
    root, folder, user : str
        Root of the file system, working directory, and `uid:gid`.
    environment : dict of str
    command, health : list of str
        Entry point with its arguments, and the health check.
    stop_signal : str
    """

    root: str
    folder: str
    user: str
    environment: dict[str, str]
    command: list[str]
    health: list[str]
    stop_signal: str

    @classmethod
    def from_configuration(cls, root: str, configuration: dict[str, Any]) -> "Container":
        """Return the container of an image's configuration, in Docker's format."""
        return cls(
            root=root,
            folder=configuration["WorkingDir"],
            user=configuration["User"],
            environment=dict(each.split("=", 1) for each in configuration["Env"]),
            command=configuration["Entrypoint"] + configuration["Cmd"],
            health=configuration["Healthcheck"]["Test"][1:],  # the first word is CMD
            stop_signal=configuration["StopSignal"],
        )

    def to_arguments(self, command: list[str]) -> list[str]:
        """Return the host command that runs a command in the container."""
        variables = [f"{key}={value}" for key, value in self.environment.items()]
        inside = ["env", "-i", f"--chdir={self.folder}", *variables, *command]
        return ["chroot", f"--userspec={self.user}", self.root, *inside]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the container and wait for it."""
        return subprocess.run(
            self.to_arguments(list(command)), capture_output=True, text=True, check=False
        )


def mount_read_only(root: str) -> None:
    """Mount the root read-only, with /proc, /dev and a small /tmp in memory, as compose does."""
    subprocess.run(["mount", "--bind", root, root], check=True)
    subprocess.run(["mount", "-t", "proc", "proc", f"{root}/proc"], check=True)
    subprocess.run(["mount", "--rbind", "/dev", f"{root}/dev"], check=True)
    options = "size=64m,mode=1777,noexec,nosuid,nodev"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", root + TMP], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", root], check=True)


def raise_loopback() -> None:
    """Enable the loopback interface, which is off in a new network namespace."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh14x", b"lo", UP))


def wait_until_ready(process: subprocess.Popen[bytes]) -> None:
    """Return once /readyz answers 200."""
    until_s = time.monotonic() + TIMEOUT_S
    while process.poll() is None and time.monotonic() < until_s:
        try:
            if httpx.get(f"{URL}/readyz").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.2)
    sys.exit(f"The service did not become ready (exit status {process.poll()}).")


def measure() -> dict[str, Any]:
    """Measure the phantom, once as it is and once padded so that the upload goes to /tmp."""
    content = PHANTOM.read_bytes()
    answers = [
        httpx.post(
            f"{URL}/v1/head-circumference",
            files={"image": body},
            data={"pixel_size_mm": str(PHANTOM_PIXEL_SIZE_MM)},
            timeout=TIMEOUT_S,
        )
        for body in (content, content + bytes(2 * SPOOLED_BYTES))
    ]
    model = httpx.get(f"{URL}/v1/models").json()["models"][0]
    return {
        "statuses": [each.status_code for each in answers],
        "head_circumference_mm": [each.json().get("head_circumference_mm") for each in answers],
        "model": {key: model[key] for key in ("name", "version", "backend", "precision")},
    }


def inspect(container: Container, pid: int) -> dict[str, Any]:
    """Return the service's user, its writable folders, and facts of the installed files."""
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    root = Path(container.root)
    (packages,) = root.glob("opt/headcirc/venv/lib/python3*/site-packages")
    places = ("/", container.folder, f"{container.folder}/model", "/etc", "/var", TMP)
    return {
        "uids": sorted(set(status["Uid"].split())),
        "writable": [
            each for each in places if container.run("touch", f"{each}/written").returncode == 0
        ],
        "health_status": container.run(*container.health).returncode,
        "site_packages_mb": round(count_bytes(packages) / 1e6),
        "unwanted": [each for each in UNWANTED if (packages / each).exists()],
        "compilers": [each for each in COMPILERS if (root / "usr/bin" / each).exists()],
    }


def count_bytes(folder: Path) -> int:
    """Return the total size of all files below a folder in bytes."""
    return sum(each.lstat().st_size for each in folder.rglob("*") if not each.is_dir())


def main() -> None:
    """Serve, measure, stop, and print the result."""
    container = Container(**json.loads(sys.argv[1]))
    mount_read_only(container.root)
    # /proc must show the process IDs of this namespace.
    subprocess.run(["mount", "-t", "proc", "proc", "/proc"], check=True)
    raise_loopback()
    with subprocess.Popen(container.to_arguments(container.command), stdout=sys.stderr) as process:
        wait_until_ready(process)
        found = measure() | inspect(container, process.pid)
        os.kill(process.pid, getattr(signal, container.stop_signal))
        found["exit_status"] = process.wait(TIMEOUT_S)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
