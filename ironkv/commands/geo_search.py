"""What is near: GEOSEARCH, and GEORADIUS, which it has replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from ironkv.commands.arguments import integer, real
from ironkv.commands.geo import coordinates, point, shown, unit
from ironkv.commands.table import ONE_KEY, Args, Route, command
from ironkv.commands.zset_ranges import store
from ironkv.commands.zsets import zset_at
from ironkv.errors import CommandError, SyntaxFault
from ironkv.keyspace.geohash import Box, Circle, Point, Shape, covering, point_of
from ironkv.keyspace.keyspace import Database
from ironkv.keyspace.zsets import SortedSet
from ironkv.resp.replies import Reply

SHOWING: Final = (b"WITHCOORD", b"WITHDIST", b"WITHHASH")
SEARCH_COMPLEXITY: Final = (
    "O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area around the shape "
    "provided as the filter and M is the number of items inside the shape"
)
RADIUS_COMPLEXITY: Final = (
    "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by "
    "center and radius and M is the number of items inside the index."
)


class Search:
    """What to search for, and what to do with it."""

    def __init__(self) -> None:
        self.center: Point | bytes = b""
        """Where, or the member that is there."""
        self.shape: Shape | None = None
        self.unit_m = 1.0
        self.order = b""
        """ASC, DESC or none."""
        self.count = 0
        """0: all."""
        self.any = False
        """Be content with the first that are found."""
        self.showing: set[bytes] = set()
        self.destination: bytes | None = None
        self.stores_distance = False

    def parse_options(self, words: list[bytes], special: Callable[[bytes, list[bytes]], int]) -> None:
        """[ASC | DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH], and what `special` knows: given
        an option and the words behind it, it says how many of them it took. Raises CommandError."""
        at = 0
        while at < len(words):
            option, rest = words[at].upper(), words[at + 1 :]
            at += 1
            if option in SHOWING:
                self.showing.add(option)
            elif option == b"ANY":
                self.any = True
            elif option in (b"ASC", b"DESC"):
                self.order = option
            elif option == b"COUNT" and rest:
                self.count = integer(rest[0])
                if self.count <= 0:
                    raise CommandError("ERR COUNT must be > 0")
                at += 1
            else:
                at += special(option, rest)

    def check_destination(self, kind: str) -> None:
        """Who stores what is found is not shown it. Raises CommandError."""
        if self.destination is not None and self.showing:
            raise CommandError(f"ERR {kind} is not compatible with WITHDIST, WITHHASH and WITHCOORD options")

    def check_any(self) -> None:
        """Any of how many? Raises CommandError."""
        if self.any and not self.count:
            raise CommandError("ERR the ANY argument requires COUNT argument")


def _size(text: bytes, complaint: str) -> float:
    try:
        return real(text)
    except CommandError:
        raise CommandError(complaint) from None


def _circle(radius: bytes, unit_name: bytes) -> tuple[Circle, float]:
    """A circle, and the unit it was given in."""
    size = _size(radius, "ERR need numeric radius")
    if size < 0:
        raise CommandError("ERR radius cannot be negative")
    unit_m = unit(unit_name)
    return Circle(size * unit_m), unit_m


def _box(width_text: bytes, height_text: bytes, unit_name: bytes) -> tuple[Box, float]:
    """A box, and the unit it was given in."""
    width = _size(width_text, "ERR need numeric width")
    height = _size(height_text, "ERR need numeric height")
    if height < 0 or width < 0:
        raise CommandError("ERR height or width cannot be negative")
    unit_m = unit(unit_name)
    return Box(width * unit_m / 2, height * unit_m / 2), unit_m


# -- parsing


def parse_geosearch(args: Args) -> Search:
    """GEOSEARCH key ..."""
    return _parse_search(args, None)


def parse_geosearchstore(args: Args) -> Search:
    """GEOSEARCHSTORE destination source ..."""
    return _parse_search(args, args[1])


def _parse_search(args: Args, destination: bytes | None) -> Search:
    search = Search()
    search.destination = destination
    chosen: set[bytes] = set()

    def special(option: bytes, rest: list[bytes]) -> int:
        chosen.add(option)
        if option == b"FROMMEMBER" and rest and b"FROMLONLAT" not in chosen:
            search.center = rest[0]
            return 1
        if option == b"FROMLONLAT" and len(rest) > 1 and b"FROMMEMBER" not in chosen:
            search.center = point(rest[0], rest[1])
            return 2
        if option == b"BYRADIUS" and len(rest) > 1 and b"BYBOX" not in chosen:
            search.shape, search.unit_m = _circle(rest[0], rest[1])
            return 2
        if option == b"BYBOX" and len(rest) > 2 and b"BYRADIUS" not in chosen:
            search.shape, search.unit_m = _box(rest[0], rest[1], rest[2])
            return 3
        if option == b"STOREDIST" and destination is not None:
            search.stores_distance = True
            return 0
        raise SyntaxFault

    search.parse_options(args[2 if destination is None else 3 :], special)
    search.check_destination("GEOSEARCHSTORE")
    name = args[0].decode("utf-8", "surrogateescape")
    if not chosen & {b"FROMMEMBER", b"FROMLONLAT"}:
        raise CommandError(f"ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for {name}")
    if search.shape is None:
        raise CommandError(f"ERR exactly one of BYRADIUS and BYBOX can be specified for {name}")
    search.check_any()
    return search


def parse_georadius(args: Args) -> Search:
    """GEORADIUS key longitude latitude radius unit ..."""
    return _parse_radius(args, point(args[2], args[3]), 4)


def parse_georadiusbymember(args: Args) -> Search:
    """GEORADIUSBYMEMBER key member radius unit ..."""
    return _parse_radius(args, args[2], 3)


def _parse_radius(args: Args, center: Point | bytes, at: int) -> Search:
    search = Search()
    search.center = center
    search.shape, search.unit_m = _circle(args[at], args[at + 1])
    stores = not args[0].upper().endswith(b"_RO")

    def special(option: bytes, rest: list[bytes]) -> int:
        if option in (b"STORE", b"STOREDIST") and rest and stores:
            search.destination, search.stores_distance = rest[0], option == b"STOREDIST"
            return 1
        raise SyntaxFault

    search.parse_options(args[at + 2 :], special)
    search.check_destination("STORE option in GEORADIUS")
    search.check_any()
    return search


def radius_keys(args: Args) -> list[bytes]:
    """The key, and the one behind the last STORE or STOREDIST."""
    stored = [
        args[at + 1 : at + 2] for at in range(5, len(args)) if args[at].upper() in (b"STORE", b"STOREDIST")
    ]
    return args[1:2] + (stored[-1] if stored else [])


# -- searching


class Found(NamedTuple):
    """A member that is near."""

    member: bytes
    score: float
    place: Point
    metres: float
    """From the center."""


def _run(db: Database, source: bytes, search: Search, event: bytes) -> Reply:
    """Search, and reply what was found or store it."""
    zset = zset_at(db, source)
    found = [] if zset is None else _found(zset, search)
    if search.destination is None:
        return [_described(each, search) for each in found]
    scored = [
        (each.member, each.metres / search.unit_m if search.stores_distance else each.score) for each in found
    ]
    return store(db, search.destination, scored, event)


def _found(zset: SortedSet, search: Search) -> list[Found]:
    center = search.center
    if isinstance(center, bytes):
        score = zset.score(center)
        if score is None:
            raise CommandError("ERR could not decode requested zset member")
        center = point_of(score)
    assert search.shape is not None
    found: list[Found] = []
    for each in _within(zset, search.shape, center):
        found.append(each)
        if search.any and len(found) == search.count:
            break
    order = search.order or (b"ASC" if search.count and not search.any else b"")
    if order:
        found.sort(key=lambda each: each.metres, reverse=order == b"DESC")
    return found[: search.count] if search.count else found


def _within(zset: SortedSet, shape: Shape, center: Point) -> Iterator[Found]:
    for cell in covering(shape, center):
        low, high = cell.scores()
        for member, score in zset.scored(zset.below_score(low), zset.below_score(high)):
            place = point_of(score)
            metres = shape.distance_within(center, place)
            if metres is not None:
                yield Found(member, score, place, metres)


def _described(found: Found, search: Search) -> Reply:
    if not search.showing:
        return found.member
    described: list[Reply] = [found.member]
    if b"WITHDIST" in search.showing:
        described.append(shown(found.metres, search.unit_m))
    if b"WITHHASH" in search.showing:
        described.append(int(found.score))
    if b"WITHCOORD" in search.showing:
        described.append(coordinates(found.place))
    return described


# -- commands


@command(
    "GEOSEARCH",
    -7,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="geo",
    since="6.2.0",
    complexity=SEARCH_COMPLEXITY,
    summary="Queries a geospatial index for members inside an area of a box or a circle.",
)
def geosearch(db: Database, args: Args, now_ms: int) -> Reply:
    """GEOSEARCH key (FROMMEMBER member | FROMLONLAT longitude latitude)
    (BYRADIUS radius (M | KM | FT | MI) | BYBOX width height (M | KM | FT | MI))
    [ASC | DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]"""
    zset_at(db, args[1])  # of another type is what is said first
    return _run(db, args[1], parse_geosearch(args), b"")


@command(
    "GEOSEARCHSTORE",
    -8,
    Route.WRITE,
    "write denyoom",
    keys=(1, 2, 1),
    check=parse_geosearchstore,
    group="geo",
    since="6.2.0",
    complexity=SEARCH_COMPLEXITY,
    summary="Queries a geospatial index for members inside an area of a box or a circle, optionally stores "
    "the result.",
)
def geosearchstore(db: Database, args: Args, now_ms: int) -> Reply:
    """GEOSEARCHSTORE destination source (FROMMEMBER member | FROMLONLAT longitude latitude)
    (BYRADIUS radius (M | KM | FT | MI) | BYBOX width height (M | KM | FT | MI))
    [ASC | DESC] [COUNT count [ANY]] [STOREDIST]"""
    return _run(db, args[2], parse_geosearchstore(args), b"geosearchstore")


@command(
    "GEORADIUS",
    -6,
    Route.WRITE,
    "write denyoom movablekeys",
    keys=ONE_KEY,
    check=parse_georadius,
    find_keys=radius_keys,
    group="geo",
    since="3.2.0",
    complexity=RADIUS_COMPLEXITY,
    summary="Queries a geospatial index for members within a distance from a coordinate, optionally stores "
    "the result.",
)
def georadius(db: Database, args: Args, now_ms: int) -> Reply:
    """GEORADIUS key longitude latitude radius (M | KM | FT | MI) [WITHCOORD] [WITHDIST] [WITHHASH]
    [COUNT count [ANY]] [ASC | DESC] [STORE key] [STOREDIST key]"""
    return _run(db, args[1], parse_georadius(args), b"georadiusstore")


@command(
    "GEORADIUS_RO",
    -6,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="geo",
    since="3.2.10",
    complexity=RADIUS_COMPLEXITY,
    summary="Returns members from a geospatial index that are within a distance from a coordinate.",
)
def georadius_ro(db: Database, args: Args, now_ms: int) -> Reply:
    """GEORADIUS_RO key longitude latitude radius (M | KM | FT | MI) [WITHCOORD] [WITHDIST] [WITHHASH]
    [COUNT count [ANY]] [ASC | DESC]"""
    zset_at(db, args[1])
    return _run(db, args[1], parse_georadius(args), b"")


@command(
    "GEORADIUSBYMEMBER",
    -5,
    Route.WRITE,
    "write denyoom movablekeys",
    keys=ONE_KEY,
    check=parse_georadiusbymember,
    find_keys=radius_keys,
    group="geo",
    since="3.2.0",
    complexity=RADIUS_COMPLEXITY,
    summary="Queries a geospatial index for members within a distance from a member, optionally stores the "
    "result.",
)
def georadiusbymember(db: Database, args: Args, now_ms: int) -> Reply:
    """GEORADIUSBYMEMBER key member radius (M | KM | FT | MI) [WITHCOORD] [WITHDIST] [WITHHASH]
    [COUNT count [ANY]] [ASC | DESC] [STORE key] [STOREDIST key]"""
    return _run(db, args[1], parse_georadiusbymember(args), b"georadiusstore")


@command(
    "GEORADIUSBYMEMBER_RO",
    -5,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="geo",
    since="3.2.10",
    complexity=RADIUS_COMPLEXITY,
    summary="Returns members from a geospatial index that are within a distance from a member.",
)
def georadiusbymember_ro(db: Database, args: Args, now_ms: int) -> Reply:
    """GEORADIUSBYMEMBER_RO key member radius (M | KM | FT | MI) [WITHCOORD] [WITHDIST] [WITHHASH]
    [COUNT count [ANY]] [ASC | DESC]"""
    zset_at(db, args[1])
    return _run(db, args[1], parse_georadiusbymember(args), b"")
