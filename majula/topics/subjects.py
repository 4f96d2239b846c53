"""What a topic and a pattern may look like, and when they match.

A *topic* is literal: any UTF-8 text of 1 to 256 bytes without control characters. For matching alone it is split at its dots
into *levels*, so a literal topic of a program that knows no patterns still matches them. A *pattern* is a topic in which a
whole level may be `*` (exactly one level, which may be empty) or, as the last level only, `>` (one or more levels).

`$SYS.` belongs to the node. Clients may not publish there, and a pattern whose *first* level is a wildcard does not match it: who
subscribes to `>` asks for the programs' traffic, not for the events of the node (and needs another scope for those).
"""

from __future__ import annotations

from majula.errors import InvalidRequest, PermissionDenied

TOPIC_BYTES = 256

# A pattern with wildcards has at most 16 levels, a topic as many as it likes. With 10,000 random patterns of 128 levels a topic
# that was not seen before costs 0.6 s, with 16 levels 0.04 s: the worst that one client can do to a gateway.
PATTERN_LEVELS = 16

SYSTEM_LEVEL = "$SYS"
SYSTEM_PREFIX = "$SYS."


def check_topic(topic: str) -> str:
    """`topic` if it is a valid literal topic.

    Raises:
        InvalidRequest: empty, longer than 256 bytes, not encodable, or with a control character.
    """
    if not topic:
        raise InvalidRequest("a topic has at least one character")
    if len(topic) > TOPIC_BYTES:
        raise InvalidRequest(f"a topic has at most {TOPIC_BYTES} bytes", limit_bytes=TOPIC_BYTES)
    try:
        size = len(topic) if topic.isascii() else len(topic.encode())
    except UnicodeEncodeError:
        raise InvalidRequest("a topic is UTF-8 text") from None
    if size > TOPIC_BYTES:
        raise InvalidRequest(f"a topic has at most {TOPIC_BYTES} bytes", limit_bytes=TOPIC_BYTES)
    # Printable text is the common case and has no control characters; the slow look is for spaces of other scripts and emoji
    # joiners.
    if not topic.isprintable() and any(is_control(c) for c in topic):
        raise InvalidRequest("a topic has no control characters")
    return topic


def check_publish(topic: str) -> str:
    """`topic` if a client may publish there.

    Raises:
        InvalidRequest: not a valid topic.
        PermissionDenied: under `$SYS.`, which is reserved for the node.
    """
    check_topic(topic)
    if topic.startswith(SYSTEM_PREFIX) or topic == SYSTEM_LEVEL:
        raise PermissionDenied("topics under $SYS. are published by the node only", scope="publish:$SYS.>")
    return topic


def check_pattern(pattern: str) -> str:
    """`pattern` if it is valid.

    Raises:
        InvalidRequest: not a valid topic, a wildcard inside a level, `>` before the last level, or wildcards in more than 16
        levels.
    """
    check_topic(pattern)
    if "*" not in pattern and ">" not in pattern:
        return pattern
    levels = pattern.split(".")
    is_wild = False
    for position, level in enumerate(levels):
        if level in ("*", ">"):
            if level == ">" and position != len(levels) - 1:
                raise InvalidRequest("in a pattern `>` stands for the rest and can only be the last level")
            is_wild = True
        elif "*" in level or ">" in level:
            raise InvalidRequest(f"in a pattern `*` and `>` are whole levels, not parts of one like {level!r}")
    if is_wild and len(levels) > PATTERN_LEVELS:
        raise InvalidRequest(f"a pattern has at most {PATTERN_LEVELS} levels", limit_levels=PATTERN_LEVELS)
    return pattern


def check_subject(subject: str, *, pattern: bool) -> str:
    """What a subscription asks for: a pattern where `pattern` is set, else a literal topic. Raises as `check_pattern`,
    `check_topic`."""
    return check_pattern(subject) if pattern else check_topic(subject)


def is_control(character: str) -> bool:
    """C0, DEL, C1, and the line and paragraph separators: what can move a terminal's cursor or end a line of a log."""
    code = ord(character)
    return code < 0x20 or 0x7F <= code <= 0x9F or code in (0x2028, 0x2029)


def has_wildcard(pattern: str) -> bool:
    """Whether a valid pattern has a wildcard level. One without is a literal topic and treated as such."""
    if "*" not in pattern and ">" not in pattern:
        return False
    return any(level in ("*", ">") for level in pattern.split("."))


def matches(pattern: str, topic: str) -> bool:
    """Whether a valid `pattern` matches the literal `topic`. The definition; `matcher.Matcher` is its fast form."""
    wanted, levels = pattern.split("."), topic.split(".")
    if levels[0] == SYSTEM_LEVEL and wanted[0] in ("*", ">"):
        return False
    for position, level in enumerate(wanted):
        if level == ">" and position == len(wanted) - 1:
            return len(levels) > position
        if position >= len(levels) or (level != "*" and level != levels[position]):
            return False
    return len(levels) == len(wanted)


def subject_key(subject: str, *, pattern: bool) -> str:
    """The key of a subject in the tables: `=topic` or `~pattern`. A pattern without wildcards has the key of the topic."""
    return f"~{subject}" if pattern and has_wildcard(subject) else f"={subject}"


def from_key(key: str) -> tuple[str, bool]:
    """The subject of a key, and whether it is a pattern."""
    return key[1:], key[0] == "~"
