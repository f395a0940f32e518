"""Places on earth as numbers of 52 bits, so that a sorted set can be searched for what is near.

Longitude and latitude are cut in half again and again, in turns; each cut gives a bit, the first the highest.
All places in a cell of `step` cuts each way share the first 2 * step bits, so a cell is a range of scores.
The formulas are those of Redis, operation by operation: scores, orders and digits must come out the same.
"""

from __future__ import annotations

from math import asin, cos, isfinite, nan, pi, sin, sqrt
from typing import Final, NamedTuple

STEPS: Final = 26
EARTH_RADIUS_M: Final = 6372797.560856
MERCATOR_MOST_M: Final = 20037726.37
LONGITUDE_MOST: Final = 180.0
LATITUDE_MOST: Final = 85.05112878
"""The projection of web maps ends here."""

_RADIAN: Final = pi / 180.0
_MASK64: Final = 2**64 - 1
_LONGITUDES: Final = 0xAAAAAAAAAAAAAAAA
_LATITUDES: Final = 0x5555555555555555
_ALPHABET: Final = b"0123456789bcdefghjkmnpqrstuvwxyz"
_SPREADING: Final = (
    (16, 0x0000FFFF0000FFFF),
    (8, 0x00FF00FF00FF00FF),
    (4, 0x0F0F0F0F0F0F0F0F),
    (2, 0x3333333333333333),
    (1, 0x5555555555555555),
)
_GATHERING: Final = (*((width // 2, mask) for width, mask in _SPREADING[::-1]), (16, 0x00000000FFFFFFFF))


class Point(NamedTuple):
    """In degrees."""

    longitude: float
    latitude: float


class Area(NamedTuple):
    """In degrees."""

    west: float
    south: float
    east: float
    north: float


class Cell(NamedTuple):
    """All places whose numbers begin with the same bits."""

    bits: int
    step: int

    def scores(self) -> tuple[int, int]:
        """The lowest score in it, and the lowest behind it."""
        shift = 2 * (STEPS - self.step)
        return self.bits << shift, self.bits + 1 << shift

    def area(self) -> Area:
        size = 1 << self.step
        latitude, longitude = _gathered(self.bits), _gathered(self.bits >> 1)
        return Area(
            _between(longitude * 1.0 / size, LONGITUDE_MOST),
            _between(latitude * 1.0 / size, LATITUDE_MOST),
            _between((longitude + 1) * 1.0 / size, LONGITUDE_MOST),
            _between((latitude + 1) * 1.0 / size, LATITUDE_MOST),
        )

    def neighbour(self, east: int, north: int) -> Cell:
        """The cell beside it, `east` and `north` being 1, 0 or -1. Behind an edge is the other one."""
        longitudes = self._moved(_LONGITUDES, _LATITUDES, east)
        return Cell(longitudes | self._moved(_LATITUDES, _LONGITUDES, north), self.step)

    def _moved(self, mask: int, gaps: int, by: int) -> int:
        unused = 64 - 2 * self.step
        bits = self.bits & mask
        if by > 0:
            bits += (gaps >> unused) + 1
        elif by < 0:
            bits = (bits | gaps >> unused) - ((gaps >> unused) + 1)
        return bits & mask >> unused if by else bits


def _between(part: float, most: float) -> float:
    return -most + part * (most - -most)


def _spread(number: int) -> int:
    """The lower 32 bits with a gap before each."""
    number &= 0xFFFFFFFF
    for shift, mask in _SPREADING:
        number = (number | number << shift) & mask
    return number


def _gathered(number: int) -> int:
    """Every second bit, from the lowest on."""
    for shift, mask in _GATHERING:
        number = (number | number >> shift) & mask
    return number


def cell_of(point: Point, step: int = STEPS, latitude_most: float = LATITUDE_MOST) -> Cell:
    """The cell in which a point is."""
    latitude = (point.latitude - -latitude_most) / (latitude_most - -latitude_most) * (1 << step)
    longitude = (point.longitude - -LONGITUDE_MOST) / (LONGITUDE_MOST - -LONGITUDE_MOST) * (1 << step)
    return Cell(_spread(int(latitude)) | _spread(int(longitude)) << 1, step)


def point_of(score: float) -> Point:
    """The middle of the cell of a score; of any score, as sorted sets may hold others than ours."""
    west, south, east, north = Cell(_unsigned(score), STEPS).area()
    return Point(
        min(max((west + east) / 2, -LONGITUDE_MOST), LONGITUDE_MOST),
        min(max((south + north) / 2, -LATITUDE_MOST), LATITUDE_MOST),
    )


def _unsigned(score: float) -> int:
    """A double as 64 bits, as processors of the x86 family convert it."""
    if -(2.0**63) <= score < 2.0**64:
        return int(score) & _MASK64
    return 1 << 63 if score < 0 else 0


def text_of(point: Point) -> bytes:
    """The geohash as elsewhere in the world: 11 letters, with latitudes up to the poles."""
    bits = cell_of(point, latitude_most=90.0).bits
    letters = [_ALPHABET[bits >> 52 - 5 * place & 31] for place in range(1, 11)]
    return bytes(letters) + b"0"  # 52 bits make ten letters and a bit


# -- distances, in metres


def _latitude_distance(one: float, other: float) -> float:
    return EARTH_RADIUS_M * abs(other * _RADIAN - one * _RADIAN)


def distance(one: Point, other: Point) -> float:
    """Along the surface of a ball (haversine)."""
    v = sin((other.longitude * _RADIAN - one.longitude * _RADIAN) / 2)
    if v == 0.0:
        return _latitude_distance(one.latitude, other.latitude)
    south, north = one.latitude * _RADIAN, other.latitude * _RADIAN
    u = sin((north - south) / 2)
    part = u * u + cos(south) * cos(north) * v * v
    return 2.0 * EARTH_RADIUS_M * asin(min(1.0, sqrt(part)))


class Circle(NamedTuple):
    """All that is at most `radius` metres away."""

    radius: float

    @property
    def half_width(self) -> float:
        return self.radius

    @property
    def half_height(self) -> float:
        return self.radius

    @property
    def reach(self) -> float:
        """How far away the furthest point is."""
        return self.radius

    def distance_within(self, center: Point, point: Point) -> float | None:
        """How far away a point is; None if it is outside."""
        metres = distance(center, point)
        return None if metres > self.radius else metres


class Box(NamedTuple):
    """A rectangle along the meridians, sizes in metres."""

    half_width: float
    half_height: float

    @property
    def reach(self) -> float:
        """How far away the corners are."""
        return sqrt(self.half_width * self.half_width + self.half_height * self.half_height)

    def distance_within(self, center: Point, point: Point) -> float | None:
        """How far away a point is; None if it is outside."""
        if _latitude_distance(point.latitude, center.latitude) > self.half_height:
            return None
        if distance(point, Point(center.longitude, point.latitude)) > self.half_width:
            return None
        return distance(center, point)


Shape = Circle | Box

_AROUND: Final = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1))
"""The neighbours in the order in which they are searched."""


def covering(shape: Shape, center: Point) -> list[Cell]:
    """Cells that together cover a shape: the center's own first, each cell once."""
    bounds = _bounds(shape, center)
    step = _step_for(shape.reach, center.latitude)
    cell = cell_of(center, step)
    if step > 1 and not _reaches(cell, bounds):
        cell = cell_of(center, step - 1)
    area = cell.area()
    needless: set[tuple[int, int]] = set()
    if cell.step >= 2:
        if area.south < bounds.south:
            needless |= {(east, -1) for east in (-1, 0, 1)}
        if area.north > bounds.north:
            needless |= {(east, 1) for east in (-1, 0, 1)}
        if area.west < bounds.west:
            needless |= {(-1, north) for north in (-1, 0, 1)}
        if area.east > bounds.east:
            needless |= {(1, north) for north in (-1, 0, 1)}
    cells = [cell]
    for direction in _AROUND:
        beside = cell.neighbour(*direction)
        if direction not in needless and (len(cells) == 1 or beside != cells[-1]):
            cells.append(beside)
    return cells


def _bounds(shape: Shape, center: Point) -> Area:
    """The area in which a shape lies. Its wider side is that towards the pole."""
    height = shape.half_height / EARTH_RADIUS_M / _RADIAN
    edge = center.latitude - height if center.latitude < 0 else center.latitude + height
    parallel = cos(edge * _RADIAN) if isfinite(edge) else nan
    width = shape.half_width / EARTH_RADIUS_M / parallel / _RADIAN
    return Area(
        center.longitude - width, center.latitude - height, center.longitude + width, center.latitude + height
    )


def _reaches(cell: Cell, bounds: Area) -> bool:
    """Whether a cell and its neighbours cover an area."""
    return not (
        cell.neighbour(0, 1).area().north < bounds.north
        or cell.neighbour(0, -1).area().south > bounds.south
        or cell.neighbour(1, 0).area().east < bounds.east
        or cell.neighbour(-1, 0).area().west > bounds.west
    )


def _step_for(reach: float, latitude: float) -> int:
    """How fine a grid of nine cells may be that is to cover so many metres around a point."""
    if reach == 0:
        return STEPS
    step = 1
    while reach < MERCATOR_MOST_M:
        reach *= 2
        step += 1
    step -= 2
    if abs(latitude) > 66:
        step -= 1
    if abs(latitude) > 80:
        step -= 1
    return min(max(step, 1), STEPS)
