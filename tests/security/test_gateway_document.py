"""A22: what a gateway answers to thousands of generated requests is what its API document says."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from majula.api.sdk import connect
from tests.cluster.node_rig import NodeRig

FOLDER = Path(__file__).parent / "schemathesis"
TOOL = Path(sys.executable).with_name("schemathesis")
STREAMS = r"^(inner\.)?(topics\.subscribe|messages\.receive|sessions\.events)"
"""They stay open: what they answer is looked at below."""


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[NodeRig]:
    async with NodeRig(tmp_path / "node", module="majula.runner", entry="auth: token") as rig:
        yield rig


@pytest.fixture
async def token(node: NodeRig) -> str:
    """Of somebody who may do everything."""
    async with connect(f"unix:{node.run_dir}/native-{node.ports[0]}.sock") as client:
        return (await client.create_token(["*:*"])).secret


@pytest.fixture
async def web(node: NodeRig, token: str) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{node.ports[0]}", headers=headers) as session:
        yield session


async def document(web: aiohttp.ClientSession) -> dict[str, Any]:
    async with web.get("/majula/openapi.json") as response:
        found: dict[str, Any] = await response.json()
        return found


async def generated(node: NodeRig, token: str, folder: Path, *, examples: int) -> str:
    """What the tool has to say, once it has found nothing; its settings stand beside this file."""
    shutil.copytree(FOLDER, folder)
    url = f"http://127.0.0.1:{node.ports[0]}"
    arguments = ["--url", url, "--seed", "1", "--max-examples", str(examples), "--no-color", "--workers", "1"]
    arguments += ["--exclude-by", "/x-not-built == true", "--exclude-operation-id-regex", STREAMS]
    arguments += ["-H", f"Authorization: Bearer {token}"]
    process = await asyncio.create_subprocess_exec(
        str(TOOL),
        "--config-file",
        "schemathesis.toml",
        "run",
        f"{url}/majula/openapi.json",
        *arguments,
        cwd=folder,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = said.decode()
    assert process.returncode == 0, text[text.find("FAILURES") :]
    return text


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a22_generated_requests_find_no_server_error_and_no_undocumented_answer(
    node: NodeRig, token: str, tmp_path: Path
) -> None:
    """A22, one minute of it."""
    said = await generated(node, token, tmp_path / "tool", examples=2)
    assert re.search(r"(\d+) generated, \1 passed", said)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
async def test_a22_many_generated_requests_find_nothing_either(node: NodeRig, token: str, tmp_path: Path) -> None:
    """A22, at length."""
    await generated(node, token, tmp_path / "tool", examples=100)


@pytest.mark.slow
async def test_without_a_token_only_health_answers(node: NodeRig, web: aiohttp.ClientSession) -> None:
    paths = (await document(web))["paths"]
    async with aiohttp.ClientSession(f"http://127.0.0.1:{node.ports[0]}") as stranger:
        for path, methods in paths.items():
            for method in methods:
                async with stranger.request(method, path.replace("{", "").replace("}", "")) as response:
                    assert (response.status == 401) == (path != "/majula/health"), (method, path, response.status)


@pytest.mark.slow
async def test_what_is_not_built_answers_501(node: NodeRig, web: aiohttp.ClientSession) -> None:
    paths = (await document(web))["paths"]
    marked = [(path, method) for path, methods in paths.items() for method in methods if methods[method].get("x-not-built")]
    assert marked
    for path, method in marked:
        async with web.request(method, path.replace("{", "").replace("}", "")) as response:
            assert (response.status, (await response.json())["code"]) == (501, "not_built"), path


@pytest.mark.slow
async def test_streams_answer_what_the_document_says(node: NodeRig, web: aiohttp.ClientSession) -> None:
    async with web.post("/majula/v1/sessions", json={}) as response:
        opened = await response.json()
    for path, methods in (await document(web))["paths"].items():
        for method, operation in methods.items():
            if "text/event-stream" not in json.dumps(operation["responses"].get("200", {})):
                continue
            filled = path.format(topic="t", client="c", session=opened["session"])
            query = {"topic": "t"} if "/sub" in path else {}
            headers = {"Majula-Session": opened["secret"]}
            async with web.request(method, filled, params=query, headers=headers) as stream:
                if "{client}" not in path and path.endswith("/h"):
                    assert str(stream.status) in operation["responses"]  # it must name a client
                    continue
                assert (stream.status, stream.content_type) == (200, "text/event-stream"), path
                assert (await stream.content.readuntil(b"\n\n")).startswith(b":")
            async with web.request(method, filled, params={"topic": "x" * 300, "nonsense": "1"}) as refused:
                assert str(refused.status) in operation["responses"]
