"""How nodes talk: `wire` turns messages into frames, `links` keeps one connection to each peer."""
