"""What tests of artifacts share."""

from tests.object_store import bucket, stores, wire

__all__ = ["bucket", "stores", "wire"]
