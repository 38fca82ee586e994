"""The dataset on disk: samples, shards, ledger, index; docs/format.md describes the bytes."""
