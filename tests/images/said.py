"""Asks exiftool, which shares no code with the package, about files; and makes files that say much."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest
from exif_blocks import exif_block
from made_images import chunk, picture, png, saved
from PIL import Image, ImageCms

EXIFTOOL = shutil.which("exiftool")
needs_exiftool = pytest.mark.skipif(
    EXIFTOOL is None and not os.environ.get("DEBLURKIT_NEED_EXIFTOOL"),
    reason="no exiftool: nothing independent says what the files hold (apt install libimage-exiftool-perl)",
)

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
COMMENT = b"a comment of a JPEG file"
EXTENDED_GUID = b"0123456789ABCDEF0123456789ABCDEF"


def exiftool(folder: Path) -> dict[str, dict[str, Any]]:
    """All that exiftool finds in the files of a folder, by the file's name and the tag's group and name."""
    if EXIFTOOL is None:
        pytest.fail("DEBLURKIT_NEED_EXIFTOOL is set, and there is no exiftool")
    command = [EXIFTOOL, "-j", "-G1", "-a", "-struct", "-r", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True)
    return {str(Path(file.pop("SourceFile")).relative_to(folder)): file for file in json.loads(done.stdout)}


def xmp(orientation: int = 1) -> bytes:
    return f"""<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>
<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>
<rdf:Description rdf:about='' xmlns:tiff='http://ns.adobe.com/tiff/1.0/' xmlns:dc='http://purl.org/dc/elements/1.1/'
 xmlns:xmp='http://ns.adobe.com/xap/1.0/' tiff:Orientation='{orientation}' xmp:Rating='4'>
<dc:subject><rdf:Bag><rdf:li>Straße</rdf:li><rdf:li>猫</rdf:li></rdf:Bag></dc:subject>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>""".encode()


def _segment(kind: int, content: bytes) -> bytes:
    return bytes([0xFF, kind]) + struct.pack(">H", len(content) + 2) + content


def _iptc() -> bytes:
    """A Photoshop segment with a caption and keywords."""
    records = b""
    for dataset, text in ((5, b"A title"), (25, b"cat"), (25, b"wall"), (120, b"A caption")):
        records += struct.pack(">BBBH", 0x1C, 2, dataset, len(text)) + text
    resource = b"8BIM" + struct.pack(">HHI", 0x0404, 0, len(records)) + records
    return b"Photoshop 3.0\0" + resource + b"\0" * (len(records) % 2)


def _extended_xmp() -> bytes:
    body = (
        b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
        b"<rdf:Description rdf:about='' xmlns:photoshop='http://ns.adobe.com/photoshop/1.0/' photoshop:City='Berlin'/>"
        b"</rdf:RDF></x:xmpmeta>"
    )
    return b"http://ns.adobe.com/xmp/extension/\0" + EXTENDED_GUID + struct.pack(">II", len(body), 0) + body


def image_of(mode: str) -> Image.Image:
    """The picture, stored as it is: not turned."""
    if mode == "L":
        return Image.fromarray(picture(1)[:, :, 0])
    return Image.fromarray(picture(4), "RGBA") if mode == "RGBA" else Image.fromarray(picture(3))


def jpeg(orientation: int = 1, mode: str = "RGB", profile: bytes = PROFILE, order: str = "<", **settings: Any) -> bytes:
    """A JPEG file that says all that one may say; its profile may need several segments."""
    data = saved(image_of(mode), "JPEG", **{"dpi": (300, 200), "quality": 83, **settings})
    pieces = [profile[at : at + 65000] for at in range(0, len(profile), 65000)]
    parts = [_segment(0xE1, b"Exif\0\0" + exif_block(order, orientation).data)]
    parts.append(_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(orientation)))
    parts.append(_segment(0xE1, _extended_xmp()))
    for number, piece in enumerate(pieces, 1):
        parts.append(_segment(0xE2, b"ICC_PROFILE\0" + bytes([number, len(pieces)]) + piece))
    parts += [_segment(0xED, _iptc()), _segment(0xFE, COMMENT)]
    behind_jfif = 4 + int.from_bytes(data[4:6], "big")
    return data[:behind_jfif] + b"".join(parts) + data[behind_jfif:]


def png_that_says(
    orientation: int = 1, colour: int = 2, bits: int = 8, of_srgb: bool = False, order: str = "<"
) -> bytes:
    """A PNG file that says all that one may say, in colours of a profile or of sRGB."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    parts = [chunk(b"sRGB", b"\1")] if of_srgb else [chunk(b"iCCP", b"a profile\0\0" + zlib.compress(PROFILE))]
    parts.append(chunk(b"cICP", bytes([12, 13, 0, 1])))
    parts.append(chunk(b"gAMA", struct.pack(">I", 45455)))
    parts.append(chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)))
    parts.append(chunk(b"pHYs", struct.pack(">IIB", 11811, 7874, 1)))
    parts.append(chunk(b"tEXt", b"Author\0Somebody"))
    parts.append(chunk(b"zTXt", b"Description\0\0" + zlib.compress(b"A cat on a wall")))
    parts.append(chunk(b"iTXt", b"Title\0\0\0de\0Titel\0" + "Straße".encode()))
    parts.append(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(orientation)))
    parts.append(chunk(b"eXIf", exif_block(order, orientation).data))
    return png(picture(channels, bits), colour, bits, b"".join(parts))


def tiff_that_says(orientation: int = 1, mode: str = "RGB", order: str = "<", **settings: Any) -> bytes:
    """A TIFF file of libtiff's, whose directories Pillow writes from a block; its maker's notes move on the way."""
    read = Image.Exif()
    read.load(b"Exif\0\0" + exif_block(order, orientation, thumbnail=b"").data)
    read[700] = xmp(orientation)
    # Read here, as Pillow writes only what it has read.
    for tag in (0x8769, 0x8825):
        read.get_ifd(tag)
    return saved(image_of(mode), "TIFF", exif=read, icc_profile=PROFILE, dpi=(300, 200), **settings)


def webp(orientation: int = 1, mode: str = "RGB", order: str = "<") -> bytes:
    block = exif_block(order, orientation).data
    settings: dict[str, Any] = {"lossless": True, "exact": True, "exif": block, "xmp": xmp(orientation)}
    return saved(image_of(mode), "WEBP", icc_profile=PROFILE, **settings)


def avif(orientation: int = 1, mode: str = "RGB", order: str = "<") -> bytes:
    block = exif_block(order, orientation).data
    return saved(image_of(mode), "AVIF", exif=b"Exif\0\0" + block, xmp=xmp(orientation), icc_profile=PROFILE)


def bmp() -> bytes:
    return saved(image_of("RGB"), "BMP", dpi=(300, 200))


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))
