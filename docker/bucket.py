"""Make a bucket unless it is there; where the storage is and who asks say the AWS_... variables."""

from __future__ import annotations

import sys

import boto3

storage, name = boto3.client("s3"), sys.argv[1]
if name not in {bucket["Name"] for bucket in storage.list_buckets()["Buckets"]}:
    storage.create_bucket(Bucket=name)
