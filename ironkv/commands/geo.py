"""Places: members of a sorted set whose scores are geohashes (see `keyspace.geohash`)."""

from __future__ import annotations

from typing import Final

from ironkv.commands.arguments import real
from ironkv.commands.table import ONE_KEY, Args, Route, command
from ironkv.commands.zsets import zadd, zset_at
from ironkv.errors import CommandError, SyntaxFault
from ironkv.keyspace.geohash import (
    LATITUDE_MOST,
    LONGITUDE_MOST,
    Point,
    cell_of,
    distance,
    point_of,
    text_of,
)
from ironkv.keyspace.keyspace import Database
from ironkv.resp.replies import NULL_ARRAY, Decimal, Reply

UNITS_M: Final = {b"M": 1.0, b"KM": 1000.0, b"FT": 0.3048, b"MI": 1609.34}


def unit(word: bytes) -> float:
    """A unit of length, in metres. Raises CommandError."""
    metres = UNITS_M.get(word.upper())
    if metres is None:
        raise CommandError("ERR unsupported unit provided. please use M, KM, FT, MI")
    return metres


def point(longitude: bytes, latitude: bytes) -> Point:
    """A place that can be held. Raises CommandError."""
    place = Point(real(longitude), real(latitude))
    if abs(place.longitude) > LONGITUDE_MOST or abs(place.latitude) > LATITUDE_MOST:
        raise CommandError(f"ERR invalid longitude,latitude pair {place.longitude:f},{place.latitude:f}")
    return place


def shown(metres: float, unit_m: float) -> bytes:
    """A distance as it is replied: in its unit, with four digits behind the point."""
    digits = b"%05d" % round(metres / unit_m * 10_000)
    return digits[:-4] + b"." + digits[-4:]


def coordinates(place: Point) -> list[Decimal]:
    """A place as it is replied."""
    return [Decimal(place.longitude), Decimal(place.latitude)]


ADD_OPTIONS: Final = (b"NX", b"XX", b"CH")


def as_zadd(args: Args) -> Args:
    """GEOADD key [NX | XX] [CH] longitude latitude member [...] -> the ZADD that does the same"""
    start = 2
    while start < len(args) and args[start].upper() in ADD_OPTIONS:
        start += 1
    options = args[2:start]
    if len(args) == start or (len(args) - start) % 3 or {b"NX", b"XX"} <= {word.upper() for word in options}:
        raise SyntaxFault
    scored: list[bytes] = []
    for at in range(start, len(args), 3):
        scored += b"%d" % cell_of(point(args[at], args[at + 1])).bits, args[at + 2]
    return [b"ZADD", args[1], *options, *scored]


@command(
    "GEOADD",
    -5,
    Route.WRITE,
    "write denyoom",
    keys=ONE_KEY,
    check=as_zadd,
    group="geo",
    since="3.2.0",
    complexity="O(log(N)) for each item added, where N is the number of elements in the sorted set.",
    summary="Adds one or more members to a geospatial index. The key is created if it doesn't exist.",
)
def geoadd(db: Database, args: Args, now_ms: int) -> Reply:
    """GEOADD key [NX | XX] [CH] longitude latitude member [longitude latitude member ...]"""
    return zadd(db, as_zadd(args), now_ms)


@command(
    "GEODIST",
    -4,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="geo",
    since="3.2.0",
    complexity="O(1)",
    summary="Returns the distance between two members of a geospatial index.",
)
def geodist(db: Database, args: Args, now_ms: int) -> Reply:
    """GEODIST key member1 member2 [M | KM | FT | MI]"""
    if len(args) > 5:
        raise SyntaxFault
    unit_m = unit(args[4]) if len(args) == 5 else 1.0
    one, other = _points(db, args[1], args[2:4])
    return None if one is None or other is None else shown(distance(one, other), unit_m)


def _points(db: Database, key: bytes, members: list[bytes]) -> list[Point | None]:
    """Where each member is; None of those that are not there."""
    zset = zset_at(db, key)
    scores = [None if zset is None else zset.score(member) for member in members]
    return [None if score is None else point_of(score) for score in scores]


@command(
    "GEOHASH",
    -2,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="geo",
    since="3.2.0",
    complexity="O(1) for each member requested.",
    summary="Returns members from a geospatial index as geohash strings.",
)
def geohash(db: Database, args: Args, now_ms: int) -> Reply:
    """GEOHASH key [member [member ...]]"""
    return [None if place is None else text_of(place) for place in _points(db, args[1], args[2:])]


@command(
    "GEOPOS",
    -2,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="geo",
    since="3.2.0",
    complexity="O(1) for each member requested.",
    summary="Returns the longitude and latitude of members from a geospatial index.",
)
def geopos(db: Database, args: Args, now_ms: int) -> Reply:
    """GEOPOS key [member [member ...]]"""
    places = _points(db, args[1], args[2:])
    return [NULL_ARRAY if place is None else coordinates(place) for place in places]
