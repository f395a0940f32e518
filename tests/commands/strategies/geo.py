"""Random commands on places."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.commands.strategies.common import (
    Args,
    any_floats,
    any_integers,
    call,
    option,
    options,
    several,
    texts,
)

few_keys = st.sampled_from([b"a", b"b", b"c"])
members = st.one_of(
    st.sampled_from([b"x", b"y", b"z", b"w", b"Palermo", b"Catania", b""]),
    st.integers(0, 30).map(lambda n: b"m%d" % n),
    texts,
)


def _written(most: float) -> st.SearchStrategy[bytes]:
    usual = st.floats(-most, most).map(lambda number: repr(number).encode())
    near = st.floats(10, 12).map(lambda number: b"%.6f" % number)
    edges = st.sampled_from(
        [b"0", b"-0.0", b"%.8f" % most, b"-%.8f" % most, b"%.8f" % (most - 0.0001), b"1e-9"]
    )
    wrong = st.one_of(st.sampled_from([b"180.1", b"-85.06", b"inf", b"x", b"", b"nan"]), any_floats)
    return st.one_of(usual, usual, near, near, near, near, edges, wrong)


longitudes, latitudes = _written(180.0), _written(85.05112878)
units = st.one_of(
    st.sampled_from([b"m", b"km", b"ft", b"mi", b"KM"]), st.sampled_from([b"m", b"km", b"yd", b""])
)
sizes = st.one_of(
    st.sampled_from([b"0", b"1", b"10", b"100", b"500", b"2000", b"5000", b"20000", b"1e6", b"1e9", b"0.5"]),
    st.sampled_from([b"100", b"300", b"1000"]),
    st.floats(0, 3e4).map(lambda number: b"%.3f" % number),
    st.sampled_from([b"-1", b"inf", b"x", b"1e300"]),
)
orders = st.one_of(option("ASC"), option("DESC"))
counts = st.one_of(
    st.integers(1, 6).map(lambda n: [b"COUNT", b"%d" % n]),
    st.integers(1, 6).map(lambda n: [b"COUNT", b"%d" % n, b"ANY"]),
    option("COUNT", any_integers),
    option("ANY"),
)
shown = st.one_of(option("WITHCOORD"), option("WITHDIST"), option("WITHHASH"))
common = options(orders, counts, shown, shown)
stored = options(orders, counts, option("STOREDIST"))
origins = st.one_of(option("FROMMEMBER", members), option("FROMLONLAT", longitudes, latitudes))
shapes = st.one_of(option("BYRADIUS", sizes, units), option("BYBOX", sizes, sizes, units))
stores = st.one_of(option("STORE", few_keys), option("STOREDIST", few_keys))

adding = several(longitudes, latitudes, members, most=8)
# Mostly far from each other and from the edges, so that the letter is looked at and not the last bit.
many = st.integers(0, 10_000).map(
    lambda seed: [
        word
        for n in range(150)
        for word in (
            b"%.5f" % ((seed * 7919 + n * 104_729) % 360_000 / 1000 - 180),
            b"%.5f" % ((seed * 6007 + n * 15_485_863) % 170_000 / 1000 - 85),
            b"m%d" % n,
        )
    ]
)

COMMANDS: list[st.SearchStrategy[Args]] = [
    call("GEOADD", few_keys, adding),
    call("GEOADD", few_keys, adding),
    call("GEOADD", few_keys, many),
    call("GEOADD", few_keys, options(option("NX"), option("XX"), option("CH"), most=2), adding),
    call("ZADD", few_keys, any_floats, members),
    call("GEODIST", few_keys, members, members, options(units.map(lambda unit: [unit]), most=2)),
    call("GEOHASH", few_keys, several(members)),
    call("GEOPOS", few_keys, several(members)),
    call("GEOSEARCH", few_keys, origins, shapes, common),
    call("GEOSEARCH", few_keys, origins, shapes, common),
    call("GEOSEARCH", few_keys, option("FROMLONLAT", longitudes, latitudes), shapes, common),
    call("GEOSEARCH", few_keys, options(origins, shapes, common, most=4)),
    call("GEOSEARCHSTORE", few_keys, few_keys, origins, shapes, stored),
    call("GEORADIUS", few_keys, longitudes, latitudes, sizes, units, options(common, stores)),
    call("GEORADIUS_RO", few_keys, longitudes, latitudes, sizes, units, common),
    call("GEORADIUSBYMEMBER", few_keys, members, sizes, units, options(common, stores)),
    call("GEORADIUSBYMEMBER_RO", few_keys, members, sizes, units, common),
    call("ZRANGE", few_keys, st.just([b"0", b"-1", b"WITHSCORES"])),
]
