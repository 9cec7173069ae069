"""The conda index: repodata, shards, MatchSpecs and versions, as the CEPs define them."""
