"""The lake: bytes under keys, in a local folder or an S3 bucket.

A key is a relative path with forward slashes. What is visible under a key is always whole: a writer that is killed
leaves the earlier object, or none.
"""

import errno
import fcntl
import hashlib
import io
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import urlsplit

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
from botocore.exceptions import ClientError

from infra.settings import Settings
from infra.state import StateError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class ConditionFailed(RuntimeError):
    """A conditional put found another object (or an object at all) under the key."""


class Lake(ABC):
    """Objects under keys. Missing keys raise ``FileNotFoundError``."""

    @abstractmethod
    def put(self, key: str, data: bytes | Path) -> None:
        """Make ``data``, bytes or the content of a file, the object under ``key``."""

    @abstractmethod
    def put_if_match(self, key: str, data: bytes, etag: str | None) -> str:
        """Put only over the object with this ``etag`` (None: only where there is none); return the new object's etag.

        Raises:
            ConditionFailed: Somebody else wrote or deleted the object since.
        """

    @abstractmethod
    def read(self, key: str) -> tuple[bytes, str]:
        """The object's bytes and its etag."""

    @abstractmethod
    def open(self, key: str) -> BinaryIO:
        """The object as a binary stream, for what does not fit in memory."""

    @abstractmethod
    def stamp(self, key: str) -> tuple[int, str]:
        """The object's size in bytes, and a mark that changes whenever the object is written. Nothing is read."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[str]:
        """Keys that start with ``prefix``, sorted, read page by page."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove the object; no error if there is none."""

    @abstractmethod
    def move(self, source: str, target: str) -> None:
        """Make the object of one key that of another, over whatever is there. A killed move leaves it under one key, or both."""

    @abstractmethod
    def uri(self, key: str = "") -> str:
        """Where DuckDB and pyarrow find the key: an absolute path or an ``s3://`` address; wildcards are kept."""


def write_table(lake: Lake, key: str, table: pa.Table) -> None:
    """Put ``table`` as Parquet. The same rows give the same bytes."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    lake.put(key, buffer.getvalue())


def read_table(lake: Lake, key: str) -> pa.Table:
    """The table under the key.

    Raises:
        StateError: The object is no Parquet.
    """
    content, _ = lake.read(key)
    try:
        return pq.read_table(io.BytesIO(content))
    except (pa.ArrowException, OSError) as error:
        path, received = lake.uri(key), f"{type(error).__name__}, {len(content):,} bytes"
        remedy = "run the night again that wrote it, or restore it from a backup"
        raise StateError(f"{path} is damaged", path=path, received=received, remedy=remedy) from None


def open_lake(settings: Settings, root: str | None = None) -> Lake:
    """The lake of the settings, or the folder or ``s3://bucket/prefix`` given as ``root``."""
    root = root or settings.lake_uri
    return S3Lake(root, settings.s3_endpoint) if root.startswith("s3://") else LocalLake(Path(root))


class LocalLake(Lake):
    """Objects as files. A hidden file beside each object is its writers' lock, and where they write aside."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def put(self, key: str, data: bytes | Path) -> None:
        target = self._path(key)
        with _write_aside(target) as aside:
            self._write(aside, target, data)

    def put_if_match(self, key: str, data: bytes, etag: str | None) -> str:
        target = self._path(key)
        with _write_aside(target) as aside:
            found = _content_etag(target.read_bytes()) if target.exists() else None
            if found != etag:
                raise ConditionFailed(f"lake key '{key}' has changed. Expected etag: {etag}. Received: {found}.")
            self._write(aside, target, data)
        return _content_etag(data)

    def read(self, key: str) -> tuple[bytes, str]:
        data = self._path(key).read_bytes()
        return data, _content_etag(data)

    def open(self, key: str) -> BinaryIO:
        return self._path(key).open("rb")

    def stamp(self, key: str) -> tuple[int, str]:
        found = self._path(key).stat()
        return found.st_size, str(found.st_mtime_ns)

    def list(self, prefix: str = "") -> Iterator[str]:
        folder = self.root / prefix.rpartition("/")[0]
        return (key for key in self._walk(folder) if key.startswith(prefix))

    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def move(self, source: str, target: str) -> None:
        path = self._path(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path(source).replace(path)

    def uri(self, key: str = "") -> str:
        return str(self.root / key)

    def is_linked(self, key: str) -> bool:
        """Whether the object, or a folder between the root and it, is a symbolic link."""
        path = self._path(key)
        return any(part.is_symlink() for part in (path, *path.parents) if self.root in part.parents)

    def _path(self, key: str) -> Path:
        return self.root / _checked(key)

    def _walk(self, folder: Path) -> Iterator[str]:
        if not folder.is_dir():
            return
        entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
        for entry in sorted(entries, key=lambda entry: entry.name + "/" * entry.is_dir()):
            if entry.is_dir():
                yield from self._walk(Path(entry.path))
            else:
                yield Path(entry.path).relative_to(self.root).as_posix()

    @staticmethod
    def _write(aside: BinaryIO, target: Path, data: bytes | Path) -> None:
        try:
            if isinstance(data, Path):
                with data.open("rb") as source:
                    shutil.copyfileobj(source, aside, 1 << 20)
            else:
                aside.write(data)
            aside.flush()
            os.fsync(aside.fileno())
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            remedy = "what was there is kept. Remedy: free space where the lake lies, and run the night again"
            raise OSError(error.errno, f"{error.strerror}; {remedy}", str(target)) from None
        os.replace(_aside(target), target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class S3Lake(Lake):
    """Objects in a bucket, under a prefix; credentials come from boto3's own chain."""

    def __init__(self, root: str, endpoint: str | None = None) -> None:
        address = urlsplit(root)
        self.bucket, self.prefix = address.netloc, address.path.strip("/")
        self.endpoint = endpoint
        self._client = boto3.client("s3", endpoint_url=endpoint)

    def put(self, key: str, data: bytes | Path) -> None:
        if isinstance(data, Path):
            self._client.upload_file(str(data), self.bucket, self._name(key))  # in parts, where the file is large
        else:
            self._client.put_object(Bucket=self.bucket, Key=self._name(key), Body=data)

    def put_if_match(self, key: str, data: bytes, etag: str | None) -> str:
        name = self._name(key)
        try:
            if etag is None:
                answer = self._client.put_object(Bucket=self.bucket, Key=name, Body=data, IfNoneMatch="*")
            else:
                answer = self._client.put_object(Bucket=self.bucket, Key=name, Body=data, IfMatch=etag)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"):
                raise ConditionFailed(f"lake key '{key}' has changed. Expected etag: {etag}.") from error
            raise
        return answer["ETag"]

    def read(self, key: str) -> tuple[bytes, str]:
        with _as_os_error(self.uri(key)):
            answer = self._client.get_object(Bucket=self.bucket, Key=self._name(key))
        return answer["Body"].read(), answer["ETag"]

    def open(self, key: str) -> BinaryIO:
        with _as_os_error(self.uri(key)):
            answer = self._client.get_object(Bucket=self.bucket, Key=self._name(key))
        return cast(BinaryIO, answer["Body"])

    def stamp(self, key: str) -> tuple[int, str]:
        with _as_os_error(self.uri(key)):
            answer = self._client.head_object(Bucket=self.bucket, Key=self._name(key))
        return answer["ContentLength"], answer["ETag"]

    def list(self, prefix: str = "") -> Iterator[str]:
        start = f"{self.prefix}/" if self.prefix else ""
        with _as_os_error(self.uri(prefix)):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=start + prefix)
            for page in pages:
                for item in page.get("Contents", []):
                    yield item["Key"].removeprefix(start)

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket=self.bucket, Key=self._name(key))

    def move(self, source: str, target: str) -> None:
        with _as_os_error(self.uri(source)):
            self._client.copy(
                {"Bucket": self.bucket, "Key": self._name(source)}, self.bucket, self._name(target)
            )  # by the server itself, in parts where the object is large
        self.delete(source)

    def uri(self, key: str = "") -> str:
        return "/".join(part for part in (f"s3://{self.bucket}", self.prefix, key) if part)

    def _name(self, key: str) -> str:
        return f"{self.prefix}/{_checked(key)}" if self.prefix else _checked(key)


@contextmanager
def _write_aside(target: Path) -> Iterator[BinaryIO]:
    """A hidden, empty file beside ``target``, locked against other writers and gone afterwards, whatever happens."""
    path = _aside(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = path.open("ab")
        fcntl.flock(file, fcntl.LOCK_EX)
        if _is_still(path, file):  # else the writer before us renamed or removed what we had opened
            break
        file.close()
    with file:
        file.truncate(0)  # a killed writer may have left something
        try:
            yield file
        finally:
            if _is_still(path, file):
                path.unlink()


def _aside(target: Path) -> Path:
    return target.parent / f".{target.name}.partial"


def _is_still(path: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _content_etag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _checked(key: str) -> str:
    if not key or key.startswith("/") or any(part in ("", ".", "..") for part in key.split("/")):
        raise ValueError(f"a lake key is a relative path such as 'raw/table/part.parquet'. Received: {key!r}.")
    return key


@contextmanager
def _as_os_error(uri: str) -> Iterator[None]:
    """What a file system would raise, so that callers need not know where the lake lies."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in ("NoSuchKey", "404"):
            raise FileNotFoundError(f"no such object: {uri}") from error
        if code in ("AccessDenied", "403"):
            raise PermissionError(f"no right to read: {uri}") from error
        raise
