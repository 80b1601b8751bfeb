"""Archives for the cloud: the same files make the same bytes, so that an upload can be found again and gone on with.

    pack(path, [Item("/proj/t1/in.dat", "t1/in.dat", 812, "9f86…"), Item(…, "t1/tmp", -1)], {"run.sub": "…"})
    name_of(items, texts)  ->  "4b227777d4dd1fc61c6f884f48641d02b4d121d3fd328cb08b5531fcacdabf8a"

`zip_file_list` and `unzip_file` are DPDispatcher's (dpcloudserver.zip_file).
"""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from ...core.errors import InputMissing, TransferFailed
from ...core.ports import Item
from ...files import local
from ...files.archive import changed, missing
from ...files.gate import Way, make_directory
from ...files.incoming import Incoming
from .results import checked, mode_of, parents

_CHUNK = 1 << 20


def name_of(items: Iterable[Item], texts: Mapping[str, str]) -> str:
    """The name of an archive by what is in it: SHA-256 over paths and digests, 64 hexadecimal digits."""
    seen = sha256()
    for item in sorted(items, key=lambda item: item.target):
        seen.update(f"{item.target}\0{item.size if item.size < 0 else item.digest}\n".encode(errors="surrogateescape"))
    for name, text in sorted(texts.items()):
        seen.update(f"{name}\0{sha256(text.encode(errors='surrogateescape')).hexdigest()}\n".encode())
    return seen.hexdigest()


def pack(path: Path, items: Iterable[Item], texts: Mapping[str, str]) -> None:
    """Write such an archive; InputMissing names a file that is gone, TransferFailed one that has changed."""
    make_directory(path.parent)
    try:
        with Incoming(path) as file:
            with zipfile.ZipFile(file.file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                for item in sorted(items, key=lambda item: item.target):
                    _add(archive, item)
                for name, text in sorted(texts.items()):
                    archive.writestr(_info(name, 0o700), text.encode(errors="surrogateescape"), zipfile.ZIP_DEFLATED)
            file.publish(0o600, durable=False)
    except OSError as why:
        if isinstance(why, InputMissing):
            raise
        raise local.failed("write", path, why) from why


def _add(archive: zipfile.ZipFile, item: Item) -> None:
    if item.size < 0:
        archive.writestr(_info(f"{item.target}/", stat.S_IFDIR | 0o755), b"")
        return
    try:
        mode = Path(item.source).stat().st_mode & 0o777
        source = open(item.source, "rb")  # noqa: SIM115, PTH123 (closed below)
    except OSError as why:
        raise missing(item.source, why) from why
    with source, archive.open(_info(item.target, mode), "w", force_zip64=item.size >= 1 << 31) as member:
        seen = sha256()
        while data := source.read(_CHUNK):
            seen.update(data)
            member.write(data)
    if item.digest and seen.hexdigest() != item.digest:
        raise changed(item.source)


def _info(name: str, mode: int) -> zipfile.ZipInfo:
    # a fixed time: the one of the file would make other bytes of the same content
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.external_attr = (mode if mode > 0o777 else stat.S_IFREG | mode) << 16
    info.create_system = 3
    info.compress_type = zipfile.ZIP_STORED if name.endswith("/") else zipfile.ZIP_DEFLATED
    return info


def zip_file_list(root_path: str | Path, zip_filename: str, file_list: Sequence[str] = ()) -> str:
    """Pack what these patterns mean below `root_path` into `root_path/zip_filename`, stored, directories walked.

    Returns the path of the archive. InputMissing names a pattern that nothing answers.
    """
    root, path = Path(root_path), Path(root_path, zip_filename)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for pattern in file_list:
            exact = root / pattern
            found = [exact] if exact.exists() else sorted(root.glob(pattern))
            if not found:
                raise InputMissing(f"nothing below {root} is called {pattern!r}; create it or correct the name")
            for one in found:
                for file in [one] if one.is_file() else [one, *sorted(one.rglob("*"))]:
                    if file != path and file.relative_to(root) != Path():
                        archive.write(file, file.relative_to(root))
    return str(path)


def unzip_file(zip_file: str | Path, out_dir: str | Path = "./") -> None:
    """Unpack an archive of which nothing can get out of `out_dir`; TransferFailed, and nothing is written, else."""
    target, way = Path(out_dir), Way(out_dir)
    with checked(Path(zip_file)) as archive:
        archive.verify()
        for name in (*archive.directories, *archive.members):
            if link := next((above for above in (name, *parents(name)) if (target / above).is_symlink()), None):
                raise TransferFailed(f"refused to unpack {name!r} through the link {target / link}; remove the link")
        for name in archive.directories:
            way.directory(name)
        for name, info in archive.members.items():
            way.directory(name.rpartition("/")[0])
            with Incoming(target / name) as file:
                archive.pour(info, file)
                file.publish(mode_of(info))
