"""The readers of the fuzz run: what is read, how, from which valid files, and which errors they are documented to raise."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from assay.api import Audit, verify
from assay.arrays import InputError
from assay.attesting import sign
from assay.audits.executors.serial import Serial
from assay.audits.prepare import session_from
from assay.audits.recipe import Recipe
from assay.audits.run import run_audit
from assay.datasets.groups import groups_of
from assay.datasets.labelled import load_labelled
from assay.datasets.sounds import load_sounds
from assay.datasets.sources import load_images, load_kspace
from assay.datasets.tables import load_rows
from assay.datasets.texts import load_texts
from assay.perturbations.fields import load_fields
from assay.profiles.load import ProfileError, task_of
from assay.profiles.load import load as load_profile
from assay.pseudonyms import read_key
from assay.reports import warning_label
from assay.signing import envelope, keyless, keys
from assay.store import AuditFolder, StoreError
from assay.systems import catalogue
from assay.systems.weights import read_weights
from attacks import fuzz_files as files
from attacks.mutations import Mutation, of_bytes, of_gzip, of_header, of_json, of_lines, of_npy, of_toml, of_zip

HERE = Path(__file__).parent
AUDIT = ("audit.json", "plan.json", "manifest.json", "part", "witness")


class ClaimFailsError(Exception):
    """`assay verify` says that a claim fails: its way to refuse a folder."""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """`read` is given the file at `place` in a folder that also holds the files of `beside`; `seeds` are valid ones."""

    name: str
    place: str
    seeds: tuple[bytes, ...]
    read: Callable[[Path], Any]
    documented: tuple[type[Exception], ...]
    mutations: tuple[Mutation, ...] = (of_bytes,)
    beside: Mapping[str, bytes] = field(default_factory=dict)


def readers(folder: Path) -> list[Reader]:
    """All of them; `folder` is where the audit is made whose files are the first seeds."""
    audit = _audited(folder)
    return [*_of_label(audit), *_of_audit(audit), *_of_images(folder), *_of_classes(folder), *_of_systems()]


def _audited(top: Path) -> Path:
    """A small signed audit of zero-filled beside Tikhonov, and the owner's keys beside it."""
    if (top / "audit" / envelope.FILE).exists():
        return top / "audit"
    keys.make_pair(top / "owner.pem")
    keys.make_pair(top / "locked.pem", b"secret")
    words = Recipe(systems=("zero-filled",), established=("tikhonov",), data="bundled:brain", size=48, limit=2,
                   profile=str(HERE / "labels.toml"))
    run_audit(session_from(words), top / "audit", executor=Serial())
    Audit(top / "audit").write(auditor="Example Lab", independence="third-party", contact="lab@example.org")
    assert all(claim.holds for claim in sign(top / "audit", keys.read_private(top / "owner.pem")))
    return top / "audit"


def _of_label(audit: Path) -> list[Reader]:
    label, signed = (audit / "warning_label.json").read_bytes(), (audit / envelope.FILE).read_bytes()
    payload = json.loads(signed)["payload"]
    bundle = json.dumps({"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "dsseEnvelope": {
        "payload": payload, "payloadType": envelope.PAYLOAD_TYPE, "signatures": []}}).encode()
    profiles = [(HERE / "labels.toml").read_bytes(), (HERE / "profile.toml").read_bytes()]
    pem = [(audit.parent / name).read_bytes() for name in ("owner.pem", "locked.pem", "owner.pem.pub", "locked.pem.pub")]
    return [
        Reader(name="label", place="label.json", seeds=(label,), documented=(warning_label.LabelError,),
               read=lambda p: warning_label.read_canonical(p.read_bytes()),
               mutations=(of_bytes, of_json, _resealed, _resealed)),
        Reader(name="profile", place="p.toml", seeds=tuple(profiles), documented=(ProfileError,), read=_profile,
               mutations=(of_bytes, of_toml, of_toml, of_toml)),
        Reader(name="signature envelope", place=envelope.FILE, seeds=(signed,), documented=(envelope.EnvelopeError,),
               read=lambda p: envelope.payload_of(envelope.read(p.read_bytes())), mutations=(of_bytes, of_json)),
        Reader(name="Sigstore bundle", place=keyless.FILE, seeds=(bundle,), documented=(keyless.KeylessError,),
               read=lambda p: keyless.statement_of(p.read_bytes()), mutations=(of_bytes, of_json)),
        Reader(name="private key", place="k.pem", seeds=tuple(pem[:2]), documented=(keys.KeyFileError,),
               read=lambda p: keys.read_private(p, b"secret")),
        Reader(name="public key", place="k.pem.pub", seeds=tuple(pem[2:]), documented=(keys.KeyFileError,),
               read=keys.read_public),
        Reader(name="key of a redaction", place="k.key", seeds=(b"ab" * 32 + b"\n",), documented=(StoreError,),
               read=read_key)]


def _of_audit(audit: Path) -> list[Reader]:
    """Each file of the folder changed under a manifest that was made anew, as a forger would; the manifest itself is not."""
    beside = {p.relative_to(audit).as_posix(): p.read_bytes() for p in audit.rglob("*")
              if p.is_file() and p.suffix not in (".html", ".png", ".svg", ".txt")}
    part = next(name for name in sorted(beside) if name.startswith("parts/"))
    witness = next(name for name in sorted(beside) if name.startswith("witnesses/"))

    def read(path: Path) -> Any:
        folder = AuditFolder(path.parent if (path.parent / "audit.json").exists() else path.parent.parent)
        if path.name != "manifest.json":
            folder.seal()
        claims = verify(folder.path, replay=False)
        if failed := [claim for claim in claims if not claim.holds]:
            raise ClaimFailsError(failed[0].claim)
        return list(folder.witnesses())

    kinds: dict[str, tuple[str, tuple[Mutation, ...]]] = {
        "audit.json": ("audit.json", (of_bytes, of_json, of_json, of_json)),
        "plan.json": ("plan.json", (of_bytes, of_json, of_json, of_json)),
        "manifest.json": ("manifest.json", (of_bytes, of_json, of_json, of_json)),
        "part": (part, (of_bytes,)), "witness": (witness, (of_bytes, of_header))}
    return [Reader(name=f"audit folder, {name}", place=place, seeds=(beside[place],), read=read,
                   documented=(StoreError, ClaimFailsError), mutations=mutations,
                   beside={k: v for k, v in beside.items() if k != place})
            for name, (place, mutations) in kinds.items()]


def _of_images(folder: Path) -> list[Reader]:
    def images(path: Path) -> Any:
        source = load_images(path)
        return [source[i] for i in range(min(len(source), 2))]

    def kspace(path: Path) -> Any:
        return load_kspace(path, centred=False)[0]

    def one(name: str, place: str, seed: bytes, read: Callable[[Path], Any], *mutations: Mutation) -> Reader:
        return Reader(name=name, place=place, seeds=(seed,), read=read, documented=(InputError,),
                      mutations=(of_bytes, *mutations))

    h5 = files.hdf5(folder, reconstruction_rss=files.STACK)
    k5 = files.hdf5(folder, kspace=files.KSPACE)
    mat73 = files.hdf5(folder, kspace=files.KSPACE[0])
    return [
        one("images, npy", "x.npy", files.npy(files.STACK), images, of_npy, of_npy),
        one("images, npz", "x.npz", files.npz(packed=True, images=files.STACK), images, of_zip(of_npy), of_zip(of_bytes)),
        one("images, NIfTI", "x.nii", files.nifti(), images),
        one("images, packed NIfTI", "x.nii.gz", files.packed_nifti(), images, of_gzip(of_bytes), of_gzip(of_bytes)),
        one("images, DICOM", "x.dcm", files.dicom(folder), images),
        one("images, HDF5", "x.h5", h5, images),
        one("images, PNG", "x.png", files.picture("PNG"), images),
        one("images, JPEG", "x.jpg", files.picture("JPEG"), images),
        one("k-space, npy", "x.npy", files.npy(files.KSPACE[0]), kspace, of_npy),
        one("k-space, HDF5", "x.h5", k5, kspace),
        one("k-space, MATLAB 5", "x.mat", files.matlab(packed=False), kspace),
        one("k-space, MATLAB 5 packed", "x.mat", files.matlab(packed=True), kspace),
        one("k-space, MATLAB 7.3", "x.mat", mat73, kspace)]


def _of_classes(folder: Path) -> list[Reader]:
    labelled = files.npz(images=files.STACK, labels=files.LABELS)
    png, wav = files.picture("PNG"), files.sound()
    ids = ("a", "b", "c", "d")

    def fetched(load: Callable[[Path], Any], above: int = 0) -> Callable[[Path], Any]:
        def read(path: Path) -> Any:
            data = load(path.parents[above - 1] if above else path)
            return data.fetch(range(len(data.ids)))
        return read

    def one(name: str, place: str, seeds: tuple[bytes, ...], read: Callable[[Path], Any], mutations: tuple[Mutation, ...],
            beside: Mapping[str, bytes] | None = None) -> Reader:
        return Reader(name=name, place=place, seeds=seeds, read=read, documented=(InputError,),
                      mutations=(of_bytes, *mutations), beside=beside or {})

    return [
        one("labelled images, npz", "x.npz", (labelled,), fetched(load_labelled), (of_zip(of_npy), of_zip(of_bytes))),
        one("labelled images, folder", "set/yes/a.png", (png,), fetched(load_labelled, 2), (), {"set/no/b.png": png}),
        one("sounds, wav", "set/yes/a.wav", (wav, files.sound(3)), fetched(lambda p: load_sounds(p, size=64), 2), (),
            {"set/no/b.wav": wav}),
        one("texts, csv", "x.csv", (files.TEXTS,), fetched(load_texts), (of_lines, of_lines)),
        one("rows, csv", "x.csv", (files.ROWS,), fetched(lambda p: load_rows(p, fields=p.parent / "f.toml")),
            (of_lines, of_lines), {"f.toml": files.FIELDS}),
        one("fields, toml", "f.toml", (files.FIELDS,), load_fields, (of_toml, of_toml)),
        one("groups, csv", "g.csv", (files.GROUPS,), lambda p: groups_of(str(p), "", ids), (of_lines,)),
        one("groups, npz", "g.npz", (files.npz(groups=files.LABELS), files.npz(groups=files.WARDS)),
            lambda p: groups_of("groups", str(p), ("0", "1", "2", "3")), (of_zip(of_npy), of_zip(of_bytes))),
        one("class names", "names.txt", (b"no\nyes\n",), lambda p: load_labelled(p.parent / "x.npz", classes=p), (of_lines,),
            {"x.npz": labelled})]


def _of_systems() -> list[Reader]:
    def network(path: Path) -> Any:
        return catalogue.load(f"onnx:{path}", role="audited")

    return [
        Reader(name="network, ONNX", place="m.onnx", seeds=(files.network(),), read=network, documented=(InputError,)),
        Reader(name="weights, safetensors", place="w.safetensors", seeds=(files.tensors(),), read=read_weights,
               documented=(InputError,), mutations=(of_bytes, of_header)),
        Reader(name="weights, author's npz", place="w.npz", seeds=(files.npz(w=files.KSPACE.real, b=files.STACK),),
               read=lambda p: read_weights(p, lambda arrays: {}), documented=(InputError,),
               mutations=(of_bytes, of_zip(of_npy), of_zip(of_bytes)))]


def _profile(path: Path) -> Any:
    return load_profile(str(path), task=task_of(str(path)))


def _resealed(content: bytes, r: Random) -> bytes:
    """The label changed and its own digest made anew, so that what lies behind the digest is asked too."""
    changed = of_json(content, r)
    try:
        label = json.loads(changed)
        label.pop("digest", None)
        label["digest"] = {"sha256": hashlib.sha256(warning_label.canonical(label)).hexdigest()}
        return warning_label.canonical(label)
    except (ValueError, RecursionError, AttributeError, TypeError):
        return changed
