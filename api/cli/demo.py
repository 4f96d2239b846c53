"""`majula demo`: what a node does, in ten seconds, in a directory of its own that is gone afterwards."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click

import majula
from majula.api.cli.asking import failures
from majula.api.cli.control import ask
from majula.api.cli.find import CONTROL
from majula.errors import MajulaError, NoRoute, RemoteError, Unavailable

Echo = Callable[[str], None]

_CONFIG = """\
node_id: demo
data_dir: {folder}/data
run_dir: {folder}/run
log: {{level: error, format: console}}
majula_servers:
  - port: {port}
"""
_START_S = 20.0


@click.command()
@click.option("--keep", is_flag=True, help="Leave the demo's directory, to look at it.")
def demo(keep: bool) -> None:
    """Start a private node, a service and a subscriber; show their traffic; end."""
    with failures():
        run_demo(keep=keep, echo=click.echo)


def run_demo(*, echo: Echo, keep: bool = False) -> None:
    """Starts a node, lets two programs talk through it, stops it.

    Args:
        echo: writes one line for the reader.
        keep: leaves the directory.
    Raises:
        Unavailable: the node did not start; its own words are on standard error.
    """
    folder = Path(tempfile.mkdtemp(prefix="majula-demo-"))
    try:
        (folder / "node.yaml").write_text(_CONFIG.format(folder=folder, port=_free_port()))
        echo(f"$ majula node run {folder}/node.yaml")
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and a path of our own
            [sys.executable, "-m", "majula.runner", str(folder / "node.yaml")],
            stdout=subprocess.DEVNULL,
        )
        try:
            _wait_until_ready(process, folder / "run" / CONTROL)
            asyncio.run(_talk(folder / "run", echo))
        finally:
            _stop(process)
        echo(f"the node has drained and stopped (exit code {process.returncode})")
    finally:
        if keep:
            echo(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait_until_ready(process: subprocess.Popen[bytes], control: Path) -> None:
    """Asks the control socket, 20 times a second: it is there before anything else of a node."""
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise Unavailable(f"the demo's node ended with exit code {process.returncode}")
        try:
            if ask(control, {"command": "status"})["status"]["state"] == "serving":
                return
        except MajulaError:
            pass  # not there yet
        time.sleep(0.05)
    raise Unavailable(f"the demo's node was not ready within {_START_S:g} s")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=15.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


async def _talk(run_dir: Path, echo: Echo) -> None:
    status = ask(run_dir / CONTROL, {"command": "status"})["status"]
    echo(f"node {status['node_id']} is {status['state']}, {len(status['roles'])} roles:")
    for role in status["roles"]:
        echo(f"  {role['role']:20} pid {role['pid']}")
    address = next(found["address"] for found in status["addresses"] if found["address"].startswith("unix:"))
    async with majula.connect(address, client_id="weather") as weather, majula.connect(address, client_id="reader") as reader:
        await _show_topics(weather, reader, echo)
        await _show_calls(weather, reader, echo)
        await _show_messages(weather, reader, echo)


async def _show_topics(weather: majula.Client, reader: majula.Client, echo: Echo) -> None:
    echo("\ntopics: `reader` subscribes to weather.*, `weather` publishes")
    seen = asyncio.Queue[str]()
    await reader.subscribe("weather.*", callback=lambda message: seen.put_nowait(f"{message.topic}: {message.payload}"))
    for place, degrees in (("oslo", -3), ("rome", 17), ("cairo", 28)):
        await weather.publish(f"weather.{place}", {"celsius": degrees})
    for _ in range(3):
        echo(f"  reader got {await asyncio.wait_for(seen.get(), 5.0)}")


async def _show_calls(weather: majula.Client, reader: majula.Client, echo: Echo) -> None:
    echo("\nRPC: `weather` offers convert(celsius), `reader` calls it")

    async def convert(celsius: float) -> dict[str, float]:
        """Fahrenheit of Celsius."""
        if celsius < -273.15:
            raise ValueError(f"{celsius} is below absolute zero")
        return {"fahrenheit": celsius * 9 / 5 + 32}

    await weather.register("convert", convert)
    started = time.perf_counter()
    echo(f"  convert(celsius=28) -> {await reader.call('convert', {'celsius': 28})}")
    calls = 200
    for number in range(calls):
        await reader.call("convert", {"celsius": number})
    each_us = (time.perf_counter() - started) / (calls + 1) * 1e6
    echo(f"  {calls} more, one after the other: {each_us:.0f} us each")
    try:
        await reader.call("convert", {"celsius": -300})
    except RemoteError as error:
        echo(f"  convert(celsius=-300) -> {error.type}: {error.message}")


async def _show_messages(weather: majula.Client, reader: majula.Client, echo: Echo) -> None:
    echo("\nprivate messages: `reader` writes to `weather`, in order, once, and learns whether it arrived")
    for text in ("is it raining in oslo?", "and in rome?"):
        state = await reader.send("weather", text)
        message = await anext(weather.messages())
        echo(f"  weather got {message.payload!r} from {message.source}: {state}")
    try:
        await reader.send("nobody", "hello?", ttl_s=0.5)
    except NoRoute as error:
        echo(f"  to nobody: {error.code}")
