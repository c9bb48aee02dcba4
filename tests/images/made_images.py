"""Image files made by the tests' own code, with the pixels that they were made of."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tifffile
from PIL import Image, ImageOps

HEIGHT, WIDTH = 37, 53


@dataclass(frozen=True)
class Made:
    """A file and what it shows.

    Attributes:
        suffix: The ending of its name.
        data: Its bytes.
        pixels: Grey ``(h, w, 1)`` or RGB ``(h, w, 3)``, upright.
        alpha: Opacity ``(h, w)``.
        premultiplied: Whether the colours were multiplied by it.
        within: How far the pixels may be off on average, where the format is not exact.
    """

    suffix: str
    data: bytes
    pixels: np.ndarray
    alpha: np.ndarray | None = None
    premultiplied: bool = False
    within: float = 0.0


Maker = Callable[[], Made]


def picture(channels: int = 3, bits: int = 8, height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> np.ndarray:
    """A smooth picture with some noise, ``(h, w, channels)``, that no turn or swap of channels leaves as it is."""
    down, across = np.mgrid[0:height, 0:width] / max(height, width)
    waves = [np.sin(3 * down + (2 + number) * across + number) * 0.4 + 0.5 for number in range(channels)]
    noise = np.random.default_rng(seed).normal(0, 0.01, (height, width, channels))
    levels = np.clip(np.stack(waves, axis=2) + noise, 0, 1) * (2**bits - 1)
    return np.round(levels).astype(np.uint16 if bits > 8 else np.uint8)


def saved(image: Image.Image, kind: str, **settings: Any) -> bytes:
    """The bytes that Pillow writes."""
    stream = io.BytesIO()
    image.save(stream, kind, **settings)
    return stream.getvalue()


# ---------------------------------------------------------------------------------------------------------------- PNG

_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(samples: np.ndarray, colour: int, bits: int, extra: bytes = b"", interlaced: bool = False) -> bytes:
    """A PNG file of samples ``(h, w, c)`` as they are; ``extra`` chunks stand in front of the pixels."""
    height, width = samples.shape[:2]
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    raw = b""
    for top, left, down, across in passes:
        part = samples[top::down, left::across]
        if part.size:
            raw += b"".join(b"\0" + _packed(row, bits) for row in part)
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, int(interlaced))
    packed = zlib.compress(raw)
    half = len(packed) // 2
    pixels = chunk(b"IDAT", packed[:half]) + chunk(b"IDAT", packed[half:])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + pixels + chunk(b"IEND", b"")


def _packed(row: np.ndarray, bits: int) -> bytes:
    if bits == 16:
        return row.astype(">u2").tobytes()
    if bits == 8:
        return row.astype(np.uint8).tobytes()
    ones = np.unpackbits(row.astype(np.uint8).reshape(-1, 1), axis=1)[:, 8 - bits :]
    return np.packbits(ones.ravel()).tobytes()


def pngs() -> Iterator[tuple[str, Maker]]:
    for interlaced in (False, True):
        tail = " Adam7" if interlaced else ""
        for bits, transparent in itertools.product((1, 2, 4, 8, 16), (False, True)):
            yield f"grey {bits}{' tRNS' * transparent}{tail}", _grey_png(bits, transparent, interlaced)
        for bits, transparent in itertools.product((1, 2, 4, 8), (False, True)):
            yield f"palette {bits}{' tRNS' * transparent}{tail}", _palette_png(bits, transparent, interlaced)
        for bits, transparent in itertools.product((8, 16), (False, True)):
            yield f"rgb {bits}{' tRNS' * transparent}{tail}", _rgb_png(bits, transparent, interlaced)
        for bits, colour in itertools.product((8, 16), (4, 6)):
            yield f"{'grey' if colour == 4 else 'rgb'} alpha {bits}{tail}", _alpha_png(bits, colour, interlaced)


def _grey_png(bits: int, transparent: bool, interlaced: bool) -> Maker:
    def make() -> Made:
        samples = picture(1, bits)
        extra = chunk(b"tRNS", struct.pack(">H", int(samples[0, 0, 0]))) if transparent else b""
        scale = 1 if bits >= 8 else 255 // (2**bits - 1)
        alpha = _opaque_but(samples, 16 if bits == 16 else 8) if transparent else None
        pixels = (samples * scale).astype(samples.dtype)
        return Made(".png", png(samples, 0, bits, extra, interlaced), pixels, alpha)

    return make


def _rgb_png(bits: int, transparent: bool, interlaced: bool) -> Maker:
    def make() -> Made:
        samples = picture(3, bits)
        extra = chunk(b"tRNS", struct.pack(">HHH", *map(int, samples[0, 0]))) if transparent else b""
        alpha = _opaque_but(samples, bits) if transparent else None
        return Made(".png", png(samples, 2, bits, extra, interlaced), samples, alpha)

    return make


def _opaque_but(samples: np.ndarray, bits: int) -> np.ndarray:
    """Alpha that is 0 where the samples are as in the first pixel."""
    through = (samples == samples[0, 0]).all(axis=2)
    return np.where(through, 0, 2**bits - 1).astype(np.uint16 if bits == 16 else np.uint8)


def _palette_png(bits: int, transparent: bool, interlaced: bool) -> Maker:
    def make() -> Made:
        samples = picture(1, bits)
        palette = np.random.default_rng(1).integers(0, 256, (2**bits, 3), dtype=np.uint8)
        extra = chunk(b"PLTE", palette.tobytes())
        opacity = np.full(2**bits, 255, np.uint8)
        if transparent:
            opacity[: 2**bits // 2] = np.arange(2**bits // 2)  # the rest is left to be opaque
            extra += chunk(b"tRNS", opacity[: 2**bits // 2].tobytes())
        numbers = samples[:, :, 0]
        alpha = opacity[numbers] if transparent else None
        return Made(".png", png(samples, 3, bits, extra, interlaced), palette[numbers], alpha)

    return make


def _alpha_png(bits: int, colour: int, interlaced: bool) -> Maker:
    def make() -> Made:
        samples = picture(_PNG_CHANNELS[colour], bits)
        return Made(".png", png(samples, colour, bits, b"", interlaced), samples[:, :, :-1], samples[:, :, -1])

    return make


# --------------------------------------------------------------------------------------------------------------- TIFF

COMPRESSIONS = (None, "lzw", "zlib", "packbits", "zstd", "lzma", "jpeg")
TIFF_KINDS = ("grey", "inverted", "rgb", "grey+alpha", "rgb+alpha", "rgb+multiplied", "rgb+fourth", "cmyk", "palette")
_EXTRA = {"grey+alpha": 2, "rgb+alpha": 2, "rgb+multiplied": 1, "rgb+fourth": 0}
_PHOTOMETRIC = {"grey": "minisblack", "inverted": "miniswhite", "cmyk": "separated", "palette": "palette"}


def tiffs() -> Iterator[tuple[str, Maker]]:
    """The cross product of what a TIFF file may be, without the pairs that there are none of."""
    layouts = itertools.product(COMPRESSIONS, (False, True), "<>", ("contig", "separate"), (8, 16), (False, True))
    for compression, big, order, planar, bits, tiled in layouts:
        for kind in TIFF_KINDS:
            if planar == "separate" and kind in ("grey", "inverted", "palette"):
                continue
            # JPEG has 8 bits here, and no room for an inverted or a fourth channel
            if compression == "jpeg" and (bits == 16 or kind not in ("grey", "rgb")):
                continue
            # Strips and tiles are told apart once for each compression; they are the same in the other layouts.
            if tiled and (big or order == ">"):
                continue
            words = (compression, "Big" * big, order, planar, bits, "tiles" * tiled, kind)
            name = " ".join(str(word) for word in words if word)
            yield name, _tiff(kind, bits, compression, big, order, planar, tiled)


def _tiff(kind: str, bits: int, compression: str | None, big: bool, order: str, planar: str, tiled: bool) -> Maker:
    def make() -> Made:
        samples, pixels, colours = _tiff_samples(kind, bits)
        settings: dict[str, Any] = {"photometric": _PHOTOMETRIC.get(kind.split("+")[0], "rgb")}
        if kind == "palette":
            settings["colormap"] = colours
        if kind in _EXTRA:
            settings["extrasamples"] = [_EXTRA[kind]]
        if samples.shape[2] > 1:
            settings["planarconfig"] = planar
        settings |= {"tile": (16, 32)} if tiled else {"rowsperstrip": 16}  # the last strip and tiles stand over
        shaped = samples.transpose(2, 0, 1) if planar == "separate" else samples
        if samples.shape[2] == 1:
            shaped = samples[:, :, 0]
        stream = io.BytesIO()
        tifffile.imwrite(
            stream, shaped, bigtiff=big, byteorder=order, compression=compression, metadata=None, **settings
        )
        alpha = samples[:, :, -1] if kind in _EXTRA else None
        return Made(
            ".tif",
            stream.getvalue(),
            pixels,
            alpha,
            premultiplied=kind == "rgb+multiplied",
            within=8.0 if compression == "jpeg" else 0.0,
        )

    return make


def _tiff_samples(kind: str, bits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Samples to write, the pixels that they stand for, and a palette."""
    highest = 2**bits - 1
    if kind == "cmyk":
        samples = picture(4, bits)
        parts = (highest - samples.astype(float)) / highest
        pixels = np.floor(parts[:, :, :3] * parts[:, :, 3:] * highest + 0.5)
        return samples, pixels.astype(samples.dtype), None
    if kind == "palette":
        samples = picture(1, bits)
        palette = np.random.default_rng(1).integers(0, 256, (3, 2**bits)).astype(np.uint16)
        return samples, palette.astype(np.uint8)[:, samples[:, :, 0]].transpose(1, 2, 0), palette * 257
    colours = 1 if kind.startswith(("grey", "inverted")) else 3
    samples = picture(colours + (kind in _EXTRA), bits)
    pixels = samples[:, :, :colours]
    return samples, highest - pixels if kind == "inverted" else pixels, None


def pillow_tiffs() -> Iterator[tuple[str, Maker]]:
    """TIFF files that libtiff wrote."""
    for mode, compression in itertools.product(
        ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"), (None, "tiff_lzw", "tiff_adobe_deflate", "packbits")
    ):
        if mode != "YCbCr":
            yield f"libtiff {mode} {compression}", _from_pillow(mode, "TIFF", compression=compression)
    for compression in ("group3", "group4"):
        yield f"libtiff 1 {compression}", _from_pillow("1", "TIFF", compression=compression)
    yield "libtiff jpeg", _from_pillow("RGB", "TIFF", compression="jpeg")
    yield "libtiff jpeg grey", _from_pillow("L", "TIFF", compression="jpeg")


# ------------------------------------------------------------------------------------------- what Pillow reads exactly


def _from_pillow(mode: str, kind: str, **settings: Any) -> Maker:
    """A file that Pillow writes, and the pixels that it reads from it."""

    def make() -> Made:
        base = Image.fromarray(picture(4), "RGBA") if mode == "RGBA" else Image.fromarray(picture(3))
        image = base.convert("L").convert("LA") if mode == "LA" else base.convert(mode)
        if mode == "LA":
            image.putalpha(Image.fromarray(picture(1, seed=2)[:, :, 0]))
        return as_pillow_reads(saved(image, kind, **settings), SUFFIX[kind])

    return make


SUFFIX = {"TIFF": ".tif", "JPEG": ".jpg", "WEBP": ".webp", "BMP": ".bmp", "AVIF": ".avif", "PNG": ".png"}


def as_pillow_reads(data: bytes, suffix: str, grey: bool = False) -> Made:
    """A file with the pixels that Pillow shows of it, upright."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    # libjpeg's own rounding differs by one in some builds
    made = Made(suffix, data, np.empty(0), within=0.5 if suffix == ".jpg" or _is_jpeg_inside(image) else 0.0)
    if image.has_transparency_data:
        samples = np.asarray(image.convert("LA" if image.mode == "LA" else "RGBA"))
        return replace(made, pixels=samples[:, :, :-1], alpha=samples[:, :, -1])
    if image.mode in ("1", "L") or grey:
        return replace(made, pixels=np.asarray(image.convert("L"))[:, :, None])
    if image.mode == "CMYK":
        return replace(made, pixels=np.asarray(image.convert("RGB")), within=1.0)
    return replace(made, pixels=np.asarray(image.convert("RGB")))


def _is_jpeg_inside(image: Image.Image) -> bool:
    return image.info.get("compression") == "jpeg"


def jpegs() -> Iterator[tuple[str, Maker]]:
    for sampling, progressive in itertools.product(("4:4:4", "4:2:2", "4:2:0"), (False, True)):
        for quality in (60, 95):
            yield (
                f"jpeg {sampling} {quality}{' progressive' * progressive}",
                _from_pillow("RGB", "JPEG", subsampling=sampling, quality=quality, progressive=progressive),
            )
    for mode, progressive in itertools.product(("L", "CMYK"), (False, True)):
        yield f"jpeg {mode}{' progressive' * progressive}", _from_pillow(mode, "JPEG", progressive=progressive)
    for restart in (1, 3):
        yield f"jpeg restart {restart}", _from_pillow("RGB", "JPEG", restart_marker_blocks=restart)
    yield "jpeg restart rows", _from_pillow("RGB", "JPEG", restart_marker_rows=1)
    yield "jpeg not YCbCr", _from_pillow("RGB", "JPEG", keep_rgb=True)


def others() -> Iterator[tuple[str, Maker]]:
    for mode in ("RGB", "RGBA"):
        yield f"webp lossless {mode}", _from_pillow(mode, "WEBP", lossless=True, exact=True)
        yield f"webp {mode}", _from_pillow(mode, "WEBP", quality=80)
        for sampling in ("4:4:4", "4:2:0"):
            yield f"avif {mode} {sampling}", _from_pillow(mode, "AVIF", subsampling=sampling)
    yield (
        "avif grey",
        lambda: as_pillow_reads(
            saved(Image.fromarray(picture(1)[:, :, 0]), "AVIF", subsampling="4:0:0"), ".avif", grey=True
        ),
    )
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        yield f"bmp {mode}", _from_pillow(mode, "BMP")


def turned() -> Iterator[tuple[str, Maker]]:
    """Every format that names an orientation, in each of the eight."""
    for kind, orientation in itertools.product(("JPEG", "PNG", "TIFF", "WEBP", "AVIF"), range(1, 9)):
        block = Image.Exif()
        block[0x0112] = orientation
        settings: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
        yield f"{kind.lower()} orientation {orientation}", _from_pillow("RGB", kind, exif=block, **settings)
