"""Buckets of S3, and of the many stores that speak as it does. `boto3` is imported here only, when a bucket is used."""

from airgap.stores.s3.client import S3Access
from airgap.stores.s3.location import SCHEME, Location
from airgap.stores.s3.store import BucketFiles

__all__ = ["SCHEME", "BucketFiles", "Location", "S3Access"]
