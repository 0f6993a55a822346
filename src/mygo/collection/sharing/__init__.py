"""How processes share a pool through its work folder: claims on shards, what who joins adopts, publishing once."""
