"""sofdata turns action-free video into shards of optical-flow skill windows."""

__version__ = "0.1.0"
