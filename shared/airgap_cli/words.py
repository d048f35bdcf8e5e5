"""Text for people: foreign characters made harmless, sizes and times made readable."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from airgap import limits
from airgap.errors import InvalidInput

_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")
_SIZE = re.compile(r"(\d{1,16})(?:\.(\d{1,6}))?\s?(?:([KMGT])(i?))?B?", re.ASCII | re.IGNORECASE)


def escape(text: str) -> str:
    r"""Show what a terminal would obey: control, bidirectional and invisible characters as `\x1b`, `\u202e`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if _is_harmless(c) else c.encode("unicode_escape").decode("ascii") for c in _printable(text))


def size(count: int | float) -> str:
    """Bytes in decimal units, as disks are sold: `1.4 GB`."""
    value = float(count)
    for unit in _UNITS:
        if value < 1000 or unit == _UNITS[-1]:
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def parse_size(text: str) -> int:
    """Bytes from `64MiB`, `1.5 GB`, `20M` or `4096`: `Ki`, `Mi`, … are powers of 1024, `k`, `M`, … powers of 1000.

    Raises:
        InvalidInput: it is no size, less than a byte, or more than any content can have.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InvalidInput(f"{text!r} is no size", hint="write a number and a unit, such as 64MiB, 1.5GB or 700M")
    whole, fraction, unit, binary = match[1], match[2] or "", (match[3] or "").upper(), match[4]
    factor: int = (1024 if binary else 1000) ** " KMGT".index(unit or " ")
    count: int = int(whole + fraction) * factor // 10 ** len(fraction)
    if not 1 <= count <= limits.BLOB:
        raise InvalidInput(f"{text!r} is too {'large' if count else 'small'}", hint=f"from 1 to {limits.BLOB} bytes")
    return count


def parse_rate(text: str) -> int:
    """Bytes a second from a size with or without `/s`: `20MiB/s`, `20MB`.

    Raises:
        InvalidInput: it is no size.
    """
    return parse_size(text.strip().removesuffix("/s"))


def parse_chunk(text: str) -> int:
    """Bytes that one request of an upload may carry.

    Raises:
        InvalidInput: it is no size, or one that no upload should be cut into.
    """
    count = parse_size(text)
    if not limits.UPLOAD_CHUNK_LEAST <= count <= limits.UPLOAD_CHUNK_MOST:
        raise InvalidInput(f"{text!r} is no size for chunks of uploads", hint="from 64KiB to 5GiB, such as 1MiB")
    return count


def duration(seconds: float) -> str:
    """`0.4 s`, `42 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def at_rate(count: int, rate: int) -> str:
    """What moving so many bytes takes at a limit of bytes a second, as the end of a sentence; nothing without one."""
    return f"; about {duration(count / rate)} at {size(rate)}/s" if rate else ""


def plural(count: int, noun: str) -> str:
    """`1 image`, `2 images`, `0 images`; `registry` becomes `registries`."""
    if count == 1:
        return f"1 {noun}"
    many = noun[:-1] + "ies" if noun.endswith("y") and noun[-2:-1] not in "aeiou" else noun + "s"
    return f"{count:,} {many}"


def counted(counts: Mapping[str, int]) -> str:
    """`12 images, 1 chart, 3 files`, in the order given."""
    return ", ".join(plural(count, noun) for noun, count in counts.items()) or plural(0, "image")


def _printable(text: str) -> str:
    """Surrogates that stand for undecodable bytes (PEP 383), as the bytes they were."""
    return "".join(f"\\x{ord(c) - 0xDC00:02x}" if 0xDC80 <= ord(c) <= 0xDCFF else c for c in text)


def _is_harmless(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
