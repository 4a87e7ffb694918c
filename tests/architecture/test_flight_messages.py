"""The generated messages of the Flight exit are those of its .proto files."""

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent.parent
FOLDER = Path("marketplace/flight")


@pytest.mark.parametrize("name", ["flight", "flight_sql"])
def test_the_generated_modules_are_what_the_messages_give(name: str, tmp_path: Path) -> None:
    from grpc_tools import protoc

    messages = FOLDER / f"{name}.proto"
    arguments = ["protoc", f"-I{REPOSITORY}", f"--python_out={tmp_path}", f"--pyi_out={tmp_path}"]
    assert protoc.main([*arguments, str(REPOSITORY / messages)]) == 0
    for ending in ("_pb2.py", "_pb2.pyi"):
        module = FOLDER / f"{name}{ending}"
        assert (REPOSITORY / module).read_text() == (tmp_path / module).read_text()
