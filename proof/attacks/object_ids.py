"""Tables of object ids: those that try to leave the bucket, and unusual ones that are allowed."""

from collections.abc import Mapping
from typing import Final

_TEXTS: Final = (
    *(" ", "\u3000"),
    *("", "/", "/a", "a/", "a//b", "..", "a/../b", "./a", "a/.", "a/..", ".", "a/./b", "//", "///", "../"),
    *("/..", "a/../", "../secrets/secret.png", "../../secrets/secret.png", "/secrets/secret.png"),
    *("//secrets/secret.png", "a/../../secrets/secret.png", "../../../../etc/passwd", "/etc/passwd"),
    *("file:///etc/passwd", "http://evil.example/a", "s3://secrets/secret.png", "/proc/self/environ"),
    *("a\\b", "..\\a", "..\\..\\secrets\\secret.png", "\\\\host\\share", "C:\\a", "a/..\\..\\b", "\\"),
    *("/\\../", "a\0b", "a.png\0.dcm", "\0", "../a\0", "a\nb", "a\r\nHost: evil", "a\tb", "a\x7fb"),
    *("a\x1bb", "a\x85b", "\x01", "a\x0bb", "a\u200bb", "a\u200db", "a\u2060b", "\ufeffa", "a\u00adb"),
    # Invisible characters and directions would let an id look like another one.
    *("a\u202eb", "a\u2066b", "a\u2028b", "a\u2029b", "a\ue000b", "a\U000e0041b", "a\uffffb"),
    *("a\U0010ffffb", "a\u0378b", "\u180ea", "a\ufff9b", "\u2024\u2024/a", "\u2025/a", "\u2026/a"),
    # docs/decisions/0036: NFKC turns these look-alikes into dots and slashes.
    *("\uff0e\uff0e/a", "\ufe52\ufe52/a", "\ufe30/a", "\ufe19/a", "a\u2488", "a\u33c2", "\u2100"),
    *("a\u2215b", "a\u2044b", "a\uff0fb", "a\u29f8b", "a\u29f9b", "a\u2216b", "a\uff3cb", "a\ufe68b"),
    *("a\u29f5b", "..\u2215..\u2215a", "\u2105a", "e\u0301", "a\u0344", "\u212b"),
    # Keys of S3 have 1,024 bytes of UTF-8 at most.
    *("x" * 1025, "\u00e9" * 513, "x" * 100_000, "a/" * 512 + "a", "\U0001f600" * 257),
)  # fmt: skip
_RAW: Final = (
    # Overlong forms and surrogates, which a lax decoder of UTF-8 would read.
    *(b"\xff", b"a\xffb", b"\xc0\xae\xc0\xae/a", b"\xc0\xafa", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf"),
    *(b"..\xc0\xaf..\xc0\xafa", b"\xed\xa0\x80", b"\xed\xaf\xbf\xed\xbf\xbf", b"\xf4\x90\x80\x80", b"\xc3"),
    *(b"a\x80", b"\xfe\xffa", b"\xf8\x88\x80\x80\xaf"),
)  # fmt: skip
REFUSED_TEXTS: Final = (*_TEXTS, "\ud800", "a\udfff")
"""Dangerous ids as JSON can write them. JSON can also write texts that UTF-8 cannot."""
REFUSED: Final = (*(text.encode() for text in _TEXTS), *_RAW)
"""Dangerous ids as bytes. The object store must get no call for them."""
_ODD: Final = (
    *("...", "..a", "a..", ".hidden", "a.", "....", ".../a", "..;/secrets/secret.png", "a/...", "-rf", "~"),
    *("~root/a", "%2e%2e/secrets/secret.png", "%2e%2e%2fsecrets%2fsecret.png", "..%2fsecrets%2fsecret.png"),
    *("%252e%252e/a", "%00", "..%5c..%5csecrets", "%c0%ae%c0%ae/a", "%u002e%u002e/a", "a%0d%0aHost:evil"),
    *("%", "%zz", "%2F", "%2fsecrets/a", "secrets/secret.png", "radiographs/r0.png", "a?versionId=1"),
    *("r0.png?versionId=null", "?location", "?list-type=2", "a?acl", "r0.png#b", "a;b", "a&b=c", "a=b"),
    *("a+b", "a b", "r0.png ", " r0.png", "a:b", "a@b", "evil.example:80", "a,b", "a!b", "$(id)", "`id`"),
    *("'; DROP TABLE answers; --", '"', "<script>", "${jndi:ldap:evil}", "{0}", "%s%n", "*", "[a]", "|a"),
    *("2024/ü.dcm", "日本/胸部.dcm", "\U0001f600", "a\u2571b", "a\u30ceb", "CON", "nul.dcm", "x" * 250),
    *("\u00e9" * 120, "__proto__"),
)  # fmt: skip
ODD: Final[Mapping[str, str]] = {f"{text[:40]!r} of {len(text)}": text for text in _ODD}
"""Unusual ids that an S3 bucket may hold. The only call is for exactly this name."""
