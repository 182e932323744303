"""The model digest is that of OpenSSF model signing: of a fixed folder always, and beside the reference implementation."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from assay.file_digests import model_digest, model_files, root_digest

# Names whose order differs between whole strings, folders one by one, and letters without their case.
NAMES = ("a/b", "a-b", "a.b", "a b", "A", "ä", "a/b-c", "z/é/x", "a/c/d", ".hidden", "日本", "a+b/c", "z/.git/x", "𝛼", "ﬀ")
LEFT_OUT = (".git/config", ".gitignore", ".gitattributes", ".github/workflows/ci.yml")
ORDER = (".hidden", "A", "a/b", "a/b-c", "a/c/d", "a b", "a+b/c", "a-b", "a.b", "z/.git/x", "z/é/x", "ä", "日本", "ﬀ", "𝛼")
# Both written by model-signing 1.1.1, the reference implementation, of the folder that `made` makes.
FOLDER = "0e3f6e2e2e5bfb7ee3031e7fa7c3ece8cb9cd0b439dce6a7016571f3bd3dd16b"
ONE_FILE = "c6e7789e1edb8bed4903acedb9a816e502fb66b6031ec3d8a80ad13aa7ff3739"


def made(folder: Path, names: tuple[str, ...] = (*NAMES, *LEFT_OUT)) -> Path:
    """A folder whose files hold their own names, and an empty folder."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, encoding="utf-8")
    (folder / "empty").mkdir()
    return folder


def by_reference(path: Path) -> tuple[str, list[str]]:
    """Subject digest and names in order, of the statement that the reference implementation signs."""
    hashing = pytest.importorskip("model_signing.hashing", exc_type=ImportError)
    from google.protobuf.json_format import MessageToDict
    from model_signing._signing.signing import Payload

    statement = MessageToDict(Payload(hashing.hash(path)).statement.pb)
    return statement["subject"][0]["digest"]["sha256"], [item["name"] for item in statement["predicate"]["resources"]]


def test_a_folder_has_the_digest_that_the_reference_gave_it(tmp_path):
    folder = made(tmp_path)
    assert model_digest(folder) == FOLDER
    assert sorted(model_files(folder)) == sorted(NAMES)
    assert model_digest(folder / "a" / "b") == ONE_FILE == root_digest({"any name": hashlib.sha256(b"a/b").hexdigest()})


@pytest.mark.parametrize("order", [sorted, lambda names: sorted(names, key=str.lower),
                                   lambda names: sorted(names, key=lambda n: (n.count("/"), n))])
def test_another_order_of_the_paths_is_caught(tmp_path, order):
    files = model_files(made(tmp_path))
    twin = hashlib.sha256(b"".join(bytes.fromhex(files[name]) for name in order(files))).hexdigest()
    ours = hashlib.sha256(b"".join(bytes.fromhex(files[name]) for name in ORDER)).hexdigest()
    assert twin != FOLDER == ours


@pytest.mark.parametrize("names", [(*NAMES, *LEFT_OUT), ("net.safetensors",), ("x/y/z", "x/y.z", "x!/w")],
                         ids=["odd names", "one file in a folder", "nested"])
def test_the_reference_implementation_agrees(tmp_path, names):
    folder = made(tmp_path, names)
    digest, order = by_reference(folder)
    assert model_digest(folder) == digest and set(model_files(folder)) == set(order)
    file = folder / names[0]
    assert model_digest(file) == by_reference(file)[0] and list(model_files(file)) == by_reference(file)[1] == ["."]


def test_links_and_devices_are_refused_as_the_reference_refuses_them(tmp_path):
    folder = made(tmp_path, ("a",))
    (folder / "link").symlink_to(folder / "a")
    with pytest.raises(ValueError, match="link: a link, a device or missing"):
        model_digest(folder)
    with pytest.raises(ValueError, match="nowhere"):
        model_digest(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="symlink"):
        by_reference(folder)
