"""Changes of valid files that a reader may not survive, of bytes and of what they mean; each is drawn from a generator."""

from __future__ import annotations

import copy
import datetime
import gzip
import io
import json
import struct
import tomllib
import warnings
import zipfile
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

Mutation = Callable[[bytes, Random], bytes]

EDGES = (0, 1, 127, 128, 255, 256, 32767, 32768, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
TOKENS = (
    b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"NaN", b"-Infinity", b"1e999", b"-0", b"1" * 5000, b"null",
    b"{", b"}", b"[" * 3000, b"{\"a\":" * 3000, b"\"\\ud800\"", b"\"a\":1,\"a\":2,", b"'", b"\"", b"\"\"\"", b",", b",,",
    b"\t", b"\r", b"\n", b"=", b"[[x]]\n", b"\\", b"%s", b"../../../etc/passwd", b"-----BEGIN PRIVATE KEY-----",
    b"9999-99-99T99:99:99Z", "ａ\u202e\u0301".encode())
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2.5, -0.0, 10**400, 2**63, -(2**63) - 1, 1e308, -1e308, 5e-324, float("nan"), float("inf"),
    "", "a", "0", "NaN", "a" * 70_000, "\0", "\ud800", "\u202e", "../../x", "9999-99-99T99:99:99Z", "2026-02-30", "unstable",
    [], {}, [[]], [None], [1, "a", {}], {"": {}}, {"a": [{}]}, [0] * 3000, {"kind": "inputs"}, ["a", "a"])
TYPES = ("<f8", "<f4", "<f2", "|u1", "|b1", "<c8", "<c16", "|O", "<U9", "|S3", "|V8", "<M8[s]", "<f16", ">i4", "<q", "x",
         "<f4,<i4", [("a", "<f4")], None)
CELLS = (b"", b"\"", b"\"a\n", b"nan", b"inf", b"1e400", b"-1", b"0x10", b"1_000", "１２".encode(), b"=1+1", b"x" * 200_000,
         b"\0", b"\xff", b"yes", *(str(edge).encode() for edge in EDGES))
NAMES = ("../../x.npy", "/etc/x.npy", "empty", "x" * 3000 + ".npy", "images.npy/", "labels.npy", "\u202e.npy")
SHAPES = ("()", "(0,)", "(3,)", "(1, 2)", "(-1, 4)", "(2, 6, 5)", "(3, 0, 5)", "(4, 4, 4, 4, 4)", "(2, 3, 6, 5)", "3",
          "None", "(1.5,)", "(True,)", "(10**9, 10**9)", "(99999999999, 99999999999)", "(4611686018427387904, 4)",
          "[3, 6, 5]", "(" + "1, " * 60 + ")", "(" * 300 + ")" * 300)


def of_bytes(content: bytes, r: Random) -> bytes:
    """Bits flipped, numbers at their edges, spans lost, doubled, moved, emptied; tokens and rubbish put in; or cut off."""
    data = bytearray(content)
    for _ in range(r.choice((1, 1, 1, 2, 4, 16))):
        at, length = _place(data, r), r.choice((1, 2, 4, 8, 32, 300))
        change = r.randrange(10)
        if change == 0 and data:
            data[at] ^= 1 << r.randrange(8)
        elif change == 1 and data:
            data[at] = r.choice((0, 1, 0x7F, 0x80, 0xFF, r.randrange(256)))
        elif change == 2:
            data = data[:at]
        elif change == 3:
            data[at:at] = r.choice(TOKENS)
        elif change == 4:
            del data[at:at + length]
        elif change == 5:
            data[at:at] = data[at:at + length] * r.choice((1, 2, 50))
        elif change == 6:
            number = struct.pack(r.choice("<>") + "Q", r.choice(EDGES))
            size = r.choice((2, 4, 8))
            data[at:at + size] = number[:size]
        elif change == 7:
            other = _place(data, r)
            data[at:at + length], data[other:other + length] = data[other:other + length], data[at:at + length]
        elif change == 8:
            data[at:at + length] = bytes(len(data[at:at + length]))
        else:
            data += r.randbytes(length)
    return bytes(data)


def of_json(content: bytes, r: Random) -> bytes:
    """Another value at a place of the tree, or a key lost, renamed, doubled; deep nesting; or a token in the text."""
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        return of_bytes(content, r)
    data = _of_tree(data, r)
    text = json.dumps(data, ensure_ascii=r.random() < 0.5).encode("utf-8", "surrogatepass")
    if r.random() < 0.15:
        return _key_twice(text, r)
    if r.random() < 0.1:
        return text.replace(b"1", b"[" * 5000 + b"]" * 5000, 1)
    return text


def of_toml(content: bytes, r: Random) -> bytes:
    """The same of a TOML file, written anew with one line for each key."""
    try:
        data = tomllib.loads(content.decode())
    except (ValueError, RecursionError):
        return of_bytes(content, r)
    data = _of_tree(data, r)
    if not isinstance(data, dict):
        return of_bytes(content, r)
    lines = [f"{json.dumps(str(key))} = {_toml(value)}" for key, value in data.items()]
    if r.random() < 0.1:
        line = r.choice(("x = " + "[" * 5000 + "]" * 5000, "a.b.c = 1", "[[checks]]", "id = 1"))
        lines.insert(r.randrange(len(lines) + 1), line)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def of_lines(content: bytes, r: Random) -> bytes:
    """Rows of a table lost, doubled, moved; cells emptied or grown; quotes left open; other separators and ends of lines."""
    lines = content.splitlines()
    if not lines:
        return of_bytes(content, r)
    at = r.randrange(len(lines))
    cells = lines[at].split(b",")
    cells[r.randrange(len(cells))] = r.choice(CELLS)
    change = r.randrange(6)
    if change == 0:
        lines[at] = b",".join(cells)
    elif change == 1:
        lines[at] += r.choice((b",", b",,,", b",a", b"\"", b";"))
    elif change == 2:
        lines.insert(at, lines[r.randrange(len(lines))])
    elif change == 3:
        del lines[at]
    elif change == 4:
        lines = [line.replace(b",", r.choice((b";", b"\t", b"|", b", "))) for line in lines]
    else:
        lines[0] = b",".join(r.sample(head := lines[0].split(b","), len(head)))
    return r.choice((b"\n", b"\n", b"\r\n", b"\r", b"\n\n")).join(lines) + r.choice((b"", b"\n"))


def of_npy(content: bytes, r: Random) -> bytes:
    """Another type, shape, order or version in the header of a .npy; the values stay as they are."""
    head = content.find(b"\n")
    if not content.startswith(b"\x93NUMPY") or head < 0:
        return of_bytes(content, r)
    kind, shape = r.choice(TYPES), r.choice(SHAPES)
    text = f"{{'descr': {kind!r}, 'fortran_order': {r.choice(('False', 'True', '2'))}, 'shape': {shape}, }}".encode()
    text = of_bytes(text, r) if r.random() < 0.2 else text
    version = r.choice((b"\1\0", b"\1\0", b"\2\0", b"\3\0", b"\4\0"))
    told = len(text) + 1 if r.random() < 0.9 else r.choice(EDGES)
    length = struct.pack("<H" if version[0] == 1 else "<I", told % 65536)
    return b"\x93NUMPY" + version + length + text + b"\n" + content[head + 1:]


def of_zip(inner: Mutation) -> Mutation:
    """Members changed by `inner`, renamed, doubled, lost, or grown without end; then packed in one of four ways."""
    def change(content: bytes, r: Random) -> bytes:
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                members = [(name, archive.read(name)) for name in archive.namelist()]
        except Exception:                # whatever a file that was changed before raises: then its bytes are changed again
            return of_bytes(content, r)
        if not members:
            return of_bytes(content, r)
        at = r.randrange(len(members))
        name, data = members[at]
        kind = r.randrange(6)
        if kind <= 2:
            members[at] = (name, inner(data, r))
        elif kind == 3:
            members[at] = (r.choice(NAMES), data)
        elif kind == 4:
            members.append((name, of_bytes(data, r)))
        else:
            members[at] = (name, data[:128] + bytes(r.choice((10, 5_000_000))))
        out, way = io.BytesIO(), r.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
        with zipfile.ZipFile(out, "w", way) as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")             # that two members have one name is meant
            for called, value in members:
                archive.writestr(called, value)
        return of_bytes(out.getvalue(), r) if r.random() < 0.2 else out.getvalue()
    return change


def of_gzip(inner: Mutation) -> Mutation:
    """What is packed is changed by `inner` and packed again; now and then a bomb follows."""
    def change(content: bytes, r: Random) -> bytes:
        try:
            data = gzip.decompress(content)
        except (OSError, EOFError, zlib.error):
            return of_bytes(content, r)
        more = bytes(20_000_000) if r.random() < 0.01 else b""
        return gzip.compress(inner(data, r) + more, 1)
    return change


def of_header(content: bytes, r: Random) -> bytes:
    """The JSON header of a safetensors file changed, its length made to fit or not."""
    if len(content) < 8:
        return of_bytes(content, r)
    length = min(int.from_bytes(content[:8], "little"), len(content) - 8)
    head = of_json(content[8:8 + length], r)
    told = len(head) if r.random() < 0.9 else r.choice(EDGES)
    return told.to_bytes(8, "little") + head + content[8 + length:]


def rounds(content: bytes, mutations: tuple[Mutation, ...], r: Random) -> bytes:
    """One to three changes, each of a kind drawn anew."""
    for _ in range(r.choice((1, 1, 1, 2, 3))):
        content = r.choice(mutations)(content, r)
    return content


def _place(data: bytes | bytearray, r: Random) -> int:
    """Half of the time near the beginning, where headers are."""
    most = max(len(data) - 1, 0)
    return r.randint(0, min(most, 256) if r.random() < 0.5 else most)


def _of_tree(data: Any, r: Random) -> Any:
    root = [data]
    for _ in range(r.choice((1, 1, 1, 2, 5))):
        holder: Any = root
        where: Any = 0
        while isinstance(inner := holder[where], (dict, list)) and inner and r.random() < 0.85:
            holder, where = inner, r.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
        _at(holder, where, r)
    return root[0]


def _at(holder: Any, where: Any, r: Random) -> None:
    """Change the place `where` of a list or of an object."""
    change = r.randrange(8)
    if change <= 3:
        holder[where] = copy.deepcopy(r.choice(VALUES))
    elif change == 4 and isinstance(holder, dict):
        del holder[where]
    elif change == 5 and isinstance(holder, dict):
        holder[r.choice(("", "x", f"{where} ", f"{where}2", "a" * 500))] = holder.pop(where)
    elif change == 6 and isinstance(holder[where], (int, float)) and not isinstance(holder[where], bool):
        old = holder[where]
        holder[where] = r.choice((-old, old * 1000, str(old), [old], r.choice(EDGES)))
    else:
        holder[where] = [holder[where]] if r.random() < 0.5 else {"a": holder[where]}


def _key_twice(text: bytes, r: Random) -> bytes:
    places = [i for i, byte in enumerate(text) if byte == ord("{")]
    at = r.choice(places) + 1 if places else 0
    return text[:at] + b'"x": 1, "x": 2,' + text[at:]


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(str(k))} = {_toml(v)}' for k, v in value.items())}}}"
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return "1979-05-27" if value is None else json.dumps(value)
