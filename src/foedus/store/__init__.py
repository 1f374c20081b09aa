"""Content-addressed store: CIDs, a store in a folder, model files and manifests."""

from foedus.store.audit import Finding, verify_all
from foedus.store.cid import InvalidCid, check_cid
from foedus.store.codec import Array, Schema, TensorSpec, encode
from foedus.store.directory import DirectoryStore
from foedus.store.manifest import (
    AlgorithmRef,
    ModelManifest,
    UsedUpdate,
    get_json,
    get_manifest,
    lineage,
    put_json,
    put_manifest,
)
from foedus.store.tensorfile import TensorFile, decode, require_finite
from foedus.store.unixfs import PROFILE_NAME, cid_of

__all__ = [
    "PROFILE_NAME",
    "AlgorithmRef",
    "Array",
    "DirectoryStore",
    "Finding",
    "InvalidCid",
    "ModelManifest",
    "Schema",
    "TensorFile",
    "TensorSpec",
    "UsedUpdate",
    "check_cid",
    "cid_of",
    "decode",
    "encode",
    "get_json",
    "get_manifest",
    "lineage",
    "put_json",
    "put_manifest",
    "require_finite",
    "verify_all",
]
