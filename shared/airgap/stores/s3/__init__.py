"""Buckets of S3, and of the many stores that speak as it does. `boto3` is imported here only, when a bucket is used.

What is named here is read from its own module: a place that only looks like one of ours should cost nothing.
"""
