"""gRPC on a whole stack: the same answers as over REST, and the page's examples as they stand."""

import re
import subprocess
import sys
from pathlib import Path

import httpx
from stackkit import ROWS

from benchmarks.peers.contenders import MLSERVER
from benchmarks.peers.environments import ensure
from serving.protocol import v2_grpc_messages as messages
from tests.integration.router.grpcclient import connect, infer, request

ROOT = Path(__file__).parents[3]
EXAMPLE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


async def test_a_rollout_answers_calls_over_grpc_as_it_answers_requests(stack) -> None:
    data = {"name": "rows", "shape": [*ROWS.shape], "datatype": "FP64", "data": ROWS.ravel().tolist()}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{stack.port}", timeout=60) as client:
        rest = (await client.post("/v2/models/iris/infer", json={"inputs": [data]})).json()
        described = (await client.get("/v2/models/iris")).json()
    async with connect(stack.port) as channel:
        asked = messages.ModelMetadataRequest(name="iris")
        metadata = await infer(channel, "ModelMetadata")(asked, timeout=60)
        assert [*metadata.versions] == described["versions"]
        assert [tensor.name for tensor in metadata.inputs] == [tensor["name"] for tensor in described["inputs"]]
        for hint in ([], [("tidegate-model", "iris")]):
            answer = await infer(channel)(request(ROWS.tolist(), "iris"), metadata=hint, timeout=60)
            assert answer.model_version == rest["model_version"]
            (raw,) = answer.raw_output_contents
            predicted = [int.from_bytes(raw[place : place + 8], "little") for place in range(0, len(raw), 8)]
            assert predicted == rest["outputs"][0]["data"]


def test_the_examples_of_the_page_work(stack, tmp_path: Path) -> None:
    section = (ROOT / "docs" / "protocols.md").read_text().split("\n## gRPC\n")[1].split("\n## ")[0]
    of_others, of_stubs = (found.replace(":8080", f":{stack.port}") for found in EXAMPLE.findall(section))
    assert "-m grpc_tools.protoc -I serving/protocol --python_out=. --grpc_python_out=. v2_grpc.proto" in section
    protoc = ["-I", str(ROOT / "serving" / "protocol"), f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *protoc, "v2_grpc.proto"], check=True)
    with_triton = ensure(MLSERVER.packages)  # its environment has Triton's client
    for python, example, said in ((with_triton, of_others, "[0] "), (sys.executable, of_stubs, "int64_contents: 0")):
        done = subprocess.run(
            [python, "-c", example], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )
        assert (done.returncode, said in done.stdout) == (0, True), done.stdout + done.stderr
