"""All source that a kernel carries -> one compressed block, and the index that says what lies in it. Never bundled.

The block is JSON of path -> text, compressed by bz2, in base85. Of the compressors in the standard library bz2 is both
the smallest on this text and the one whose output stays: its encoder has been the same for many years, takes no clock
and no thread count, and every Python links it, while zlib is replaced by others in some builds of Python and liblzma's
encoder still changes. So Python 3.11 to 3.13 write the same bytes, which tests/kernel/test_interpreters.py shows.

Base85 holds neither quotes nor backslashes, so that it costs the same in a script and in a notebook's JSON.
"""

import ast
import base64
import bz2
import json
from collections.abc import Mapping

LINE = 1000  # characters of base85 in one line: editors stay usable


def compressed(modules: Mapping[str, str]) -> bytes:
    """The block's bytes before base85, the same for the same modules in the same order."""
    return bz2.compress(json.dumps(dict(modules), ensure_ascii=False).encode(), 9)


def armoured(data: bytes) -> str:
    """Bytes as lines of base85."""
    text = base64.b85encode(data).decode()
    return "".join(f"{text[i : i + LINE]}\n" for i in range(0, len(text), LINE))


def index(modules: Mapping[str, str]) -> str:
    """Comments that say what lies in the block: each file's path, its lines, and its docstring's first sentence."""
    paths = max(map(len, modules), default=0)
    lines = [
        f"# {path:<{paths}}  {text.count(chr(10)):>4}  {first_sentence(text)}".rstrip()
        for path, text in modules.items()
    ]
    return "\n".join(["# The files of the block, their lines, and what each of them is:", "#", *lines, ""])


def first_sentence(text: str) -> str:
    """The first sentence of a module's docstring; empty where there is none."""
    paragraph = " ".join((ast.get_docstring(ast.parse(text)) or "").partition("\n\n")[0].split())
    sentence, end, _ = paragraph.partition(". ")
    return f"{sentence}." if end else paragraph
