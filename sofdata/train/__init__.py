"""The trainer: shards to the three models of SOF. Start reading at `loop.fit`."""
