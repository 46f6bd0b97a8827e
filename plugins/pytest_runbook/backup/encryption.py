"""Encryption of copies, in the format of age: anybody with the private key can read them with the `age` program alone."""

from __future__ import annotations

import io
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from pytest_runbook.errors import BackupError

if TYPE_CHECKING:
    from pytest_runbook.backup.destinations import Destination
    from pytest_runbook.settings.backup import Encryption

QUESTION = 60.0
"""Seconds that the command for the keys may take."""
TEMPORARY = ".writing"
CHUNK, TAG, NONCE = 64 * 1024, 16, 16
"""Bytes of the format: what is encrypted at once, what shows that a piece is whole, what comes before the first one."""


def encrypt(path: Path, target: Path, keys: Encryption, look: Callable[[], object] = lambda: None) -> None:
    """Write the file PATH, encrypted for all recipients of KEYS, to TARGET, whole or not at all.

    LOOK is called before each piece; what it raises ends it.
    """
    import pyrage  # late: most destinations are not encrypted

    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = target.with_name(target.name + TEMPORARY)
    try:
        with _Watched(path, look) as plain, temporary.open("wb") as secret:
            temporary.chmod(0o600)
            pyrage.encrypt_io(plain, secret, [_recipient(text) for text in keys.recipients])
        temporary.replace(target)
    except OSError as error:
        raise BackupError(f'"{target}" cannot be written: {error.strerror or error}') from None
    except pyrage.EncryptError as error:
        # What the library makes of an error of either disk: `OSError: [Errno 28] …`
        said = str(error).rpartition("] ")[2].lower()
        raise BackupError(
            f'"{path}" cannot be encrypted as "{target}": {said}\n  hint: see the disk of "{target.parent}"'
        ) from None
    finally:
        temporary.unlink(missing_ok=True)


def least(size: int) -> int:
    """Bytes that SIZE bytes take when they are encrypted, but for a header, whose length depends on the keys."""
    return NONCE + size + TAG * max(1, -(-size // CHUNK))


@contextmanager
def decrypted(secret: BinaryIO, private: list[Any]) -> Iterator[BinaryIO]:
    """The plain content of the stream SECRET, by one of the PRIVATE keys, as a stream.

    Reading it raises BackupError `wrong-key` or `corrupt`, and what SECRET raises.
    """
    reader = _Decrypted(secret, private)
    try:
        yield cast(BinaryIO, io.BufferedReader(reader, 1 << 20))
    finally:
        reader.end()


def blind(destination: Destination) -> str:
    """Why nothing that lies encrypted in DESTINATION can be read here: there is no private key; empty when it can be."""
    try:
        if destination.encrypted:
            destination.private_keys()
    except BackupError as error:
        return str(error)
    return ""


def identities(keys: Encryption, root: Path) -> list[Any]:
    """The private keys of KEYS; BackupError `wrong-key` when there are none."""
    text = _private(keys, root)
    found = []
    try:
        from pyrage import ssh, x25519

        if "BEGIN OPENSSH" in text or "BEGIN RSA" in text:
            found.append(ssh.Identity.from_buffer(text.encode()))
        else:
            lines = (line.strip() for line in text.splitlines())
            found += [x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except Exception as error:  # the library's errors have no common base
        raise BackupError(f"the private key cannot be used: {type(error).__name__}", reason="wrong-key") from None
    if not found:
        raise BackupError("there is no private key in backup.encryption's identity", reason="wrong-key")
    return found


def _private(keys: Encryption, root: Path) -> str:
    if keys.identity_command:
        try:
            done = subprocess.run(keys.identity_command, capture_output=True, text=True, check=False, timeout=QUESTION)
        except (OSError, subprocess.SubprocessError) as error:
            raise BackupError(
                f"backup.encryption.identity_command cannot be run: {error}", reason="wrong-key"
            ) from None
        if done.returncode:
            raise BackupError(
                f"backup.encryption.identity_command failed with status {done.returncode}", reason="wrong-key"
            )
        return done.stdout
    if keys.identity_file is None:
        raise BackupError(
            "nothing says where the private key is\n  hint: set backup.encryption.identity_file, or identity_command",
            reason="wrong-key",
        )
    path = root / keys.identity_file
    try:
        if path.stat().st_mode & 0o077:
            raise BackupError(
                f'"{path}" can be read by others\n  hint: chmod 600, and consider making new keys', reason="wrong-key"
            )
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BackupError(f'"{path}" cannot be read: {error}', reason="wrong-key") from None


def _recipient(text: str) -> Any:
    from pyrage import ssh, x25519

    try:
        return ssh.Recipient.from_str(text) if text.startswith("ssh-") else x25519.Recipient.from_str(text)
    except Exception:  # the library's errors have no common base
        raise BackupError(
            f'"{text}" is no public key\n  hint: backup.encryption.recipients are age1… or ssh-… keys'
        ) from None


class _Source:
    """Reads a stream, and remembers its error: the library words that as if what came was no encryption."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.error: BackupError | None = None

    def read(self, size: int = -1) -> bytes:
        """The next piece."""
        try:
            return self._stream.read(size)
        except BackupError as error:
            self.error = error
            raise


class _Watched(io.FileIO):
    """The file PATH, of which no piece is read before LOOK was called."""

    def __init__(self, path: Path, look: Callable[[], object]) -> None:
        super().__init__(path)
        self._look = look

    def read(self, size: int | None = -1) -> bytes:
        """The next piece."""
        self._look()
        return super().read(size)


class _Decrypted(io.RawIOBase):
    """Reads what a thread decrypts into a pipe; the end of the pipe is the end of the content only if that succeeded."""

    def __init__(self, secret: BinaryIO, private: list[Any]) -> None:
        self._out, write = os.pipe()
        self._error: Exception | None = None
        self._source = _Source(secret)
        self._thread = threading.Thread(target=self._pump, args=(write, private), daemon=True)
        self._thread.start()

    def _pump(self, write: int, private: list[Any]) -> None:
        import pyrage

        try:
            with os.fdopen(write, "wb") as plain:
                pyrage.decrypt_io(self._source, plain, private)
        except Exception as error:  # told by the reader, at the end of what came
            self._error = self._source.error or error

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill BUFFER with what comes next."""
        piece = os.read(self._out, len(buffer))
        buffer[: len(piece)] = piece
        if not piece:
            self._thread.join()
            if self._error is not None:
                raise _explained(self._error)
        return len(piece)

    def end(self) -> None:
        """Stop decrypting, wherever it is."""
        with suppress(OSError):
            os.close(self._out)
        self._thread.join()


def _explained(error: Exception) -> BackupError:
    if isinstance(error, BackupError):
        return error
    said = str(error)
    if "No matching keys" in said:
        return BackupError(
            "it is encrypted for other keys than those at hand\n"
            "  hint: backup.encryption.identity_file may hold the old private key beside the new one",
            reason="wrong-key",
        )
    return BackupError(f"it cannot be decrypted: {said[:200]}", reason="corrupt")
