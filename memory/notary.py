"""Signs where the ledger ends, and what was forgotten, with a key that is kept outside the database.

What is signed then can be shown later to be still there: a database that was set back, or whose history was
rewritten, no longer fits a checkpoint that somebody kept.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from memory.audit import ED25519, RECEIPT, Checkpoint, Forged, Key
from memory.errors import NotaryError

PRIVATE = "PRIVATE+KEY+"
SUFFIX = ".checkpoint"
RECEIPTS = ".receipt"


def newest(folder: Path) -> Path | None:
    """The checkpoint of the largest size in a folder, by its name; None when there is none."""
    return max(folder.glob(f"*{SUFFIX}"), default=None)


class Notary:
    """An Ed25519 key that signs checkpoints and receipts. Its file has `PRIVATE+KEY+NAME+HASH+SEED`."""

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.key = Key(name=name, public=private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    @classmethod
    def at(cls, path: Path, name: str) -> Notary:
        """The key in a file, made there when there is none. Raises NotaryError for a file that is no key."""
        try:
            if not path.exists():
                return cls._made(path, name)
            return cls._read(path)
        except OSError as error:
            raise NotaryError(f"the signing key {path} cannot be used: {error.strerror}") from error

    @classmethod
    def _made(cls, path: Path, name: str) -> Notary:
        private = Ed25519PrivateKey.generate()
        notary = cls(name, private)
        seed = base64.b64encode(ED25519 + private.private_bytes_raw()).decode()
        path.parent.mkdir(parents=True, exist_ok=True)
        # Nobody else may read it, from its first byte on; and one that is there is never written over.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{PRIVATE}{name}+{notary.key.id.hex()}+{seed}\n")
        return notary

    @classmethod
    def _read(cls, path: Path) -> Notary:
        text = path.read_text(encoding="utf-8", errors="replace").strip()
        name, _, rest = text.removeprefix(PRIVATE).partition("+")
        key_id, _, encoded = rest.partition("+")
        try:
            seed = base64.b64decode(encoded, validate=True)
            notary = cls(name, Ed25519PrivateKey.from_private_bytes(seed.removeprefix(ED25519)))
            if not text.startswith(PRIVATE) or notary.key.id.hex() != key_id:
                raise Forged("its hash is another")
        except ValueError as error:
            raise NotaryError(f"{path} holds no signing key ({error}); restore it from a copy") from error
        return notary

    def sign(self, checkpoint: Checkpoint, folder: Path) -> Path:
        """Write the checkpoint as a signed note, into a file named by its size, beside the public key."""
        return self._write(folder / f"{checkpoint.size:09}{SUFFIX}", self.signed(checkpoint))

    def certify(self, receipt: Mapping[str, Any], folder: Path) -> Path:
        """Write what was forgotten as a signed note, into a file named by its tenant and its last entry."""
        last = receipt["entries"][-1]["entry"]["position"]
        text = json.dumps(receipt, indent=1, sort_keys=True)
        note = self._note(f"{self.key.name}{RECEIPT}\n{text}\n")
        return self._write(folder / f"{receipt['tenant']}-{last:09}{RECEIPTS}", note)

    def signed(self, checkpoint: Checkpoint) -> str:
        """The checkpoint as a signed note."""
        return self._note(checkpoint.text)

    def _note(self, text: str) -> str:
        signature = base64.b64encode(self.key.id + self._private.sign(text.encode())).decode()
        return f"{text}\n\N{EM DASH} {self.key.name} {signature}\n"

    def _write(self, path: Path, note: str) -> Path:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for file, text in ((path.parent / "key.pub", f"{self.key}\n"), (path, note)):
                partial = file.with_suffix(".partial")
                partial.write_text(text, encoding="utf-8")
                partial.replace(file)
        except OSError as error:
            raise NotaryError(f"cannot write {path}: {error.strerror}") from error
        return path
