"""Small valid files of every kind that a reader takes, from which the fuzz run begins. Written by their own libraries."""

from __future__ import annotations

import gzip
import io
import wave
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import onnx
import pydicom
import scipy.io
from onnx import TensorProto, helper
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from safetensors.numpy import save

R = np.random.default_rng(0)
STACK = R.integers(0, 200, (4, 6, 5)).astype(np.uint8)
KSPACE = np.fft.fft2(R.random((2, 8, 8)) + 1, norm="ortho").astype(np.complex64)
LABELS, WARDS = np.array([0, 1, 0, 1]), np.array(["ward 1", "ward 2", "ward 1", "ward 2"])
TEXTS = b'id,text,label\na,"no finding, again",0\nb,a fracture is seen,1\nc,"said ""no"" twice",0\nd,lesion,1\n'
ROWS = b"id,sex,age,smokes,label\na,female,41,1,0\nb,male,72.5,0,1\nc,female,18,0,0\nd,male,65,no,1\n"
GROUPS = b"sample,group\na,ward 1\nb,ward 2\nc,ward 1\nd,ward 2\n"
FIELDS = b"""[fields.sex]
kind = "category"
values = ["female", "male"]
irrelevant = true

[fields.age]
kind = "number"
range = [0, 120]
may_change = true
within = 2
monotone = "up"

[[ties]]
kind = "implies"
if = { sex = "male" }
then = { smokes = 0 }

[fields.smokes]
kind = "flag"
"""


def npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def npz(*, packed: bool = False, **arrays: Any) -> bytes:
    out = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(out, **arrays)
    return out.getvalue()


def picture(kind: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(STACK[0]).resize((16, 16)).save(out, kind)
    return out.getvalue()


def sound(width: int = 2) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(width)
        file.setframerate(8000)
        file.writeframes(R.integers(1, 250, 64 * width).astype(np.uint8).tobytes())
    return out.getvalue()


def nifti() -> bytes:
    return nibabel.Nifti1Image(np.ascontiguousarray(STACK.transpose(2, 1, 0)), np.eye(4)).to_bytes()


def packed_nifti() -> bytes:
    return gzip.compress(nifti())


def dicom(folder: Path) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    file = FileDataset("x", {}, file_meta=meta, preamble=b"\0" * 128)
    file.Rows, file.Columns, file.SamplesPerPixel, file.PhotometricInterpretation = 6, 5, 1, "MONOCHROME2"
    file.BitsAllocated = file.BitsStored = 16
    file.HighBit, file.PixelRepresentation, file.RescaleSlope, file.RescaleIntercept = 15, 0, "2", "-1"
    file.PixelData = STACK[0].astype(np.uint16).tobytes()
    pydicom.dcmwrite(folder / "seed.dcm", file, enforce_file_format=True)
    return (folder / "seed.dcm").read_bytes()


def hdf5(folder: Path, **arrays: Any) -> bytes:
    with h5py.File(folder / "seed.h5", "w") as file:
        for name, value in arrays.items():
            file.create_dataset(name, data=value, chunks=True, compression="gzip")
    return (folder / "seed.h5").read_bytes()


def matlab(*, packed: bool) -> bytes:
    out = io.BytesIO()
    scipy.io.savemat(out, {"kdata": KSPACE[0]}, do_compression=packed)
    return out.getvalue()


def network() -> bytes:
    weights = [helper.make_tensor("w", TensorProto.FLOAT, [2, 16], R.random(32).astype(np.float32)),
               helper.make_tensor("b", TensorProto.FLOAT, [2], [0.5, 0.25])]
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Gemm", ["f", "w", "b"], ["y"], transB=1)]
    graph = helper.make_graph(nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, 4, 4])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def tensors() -> bytes:
    return save({"w": R.random((2, 3)).astype(np.float32), "b": np.zeros(2, np.float16)}, {"kind": "test"})
