"""moto_server with a lock: moto's threads are not atomic towards each other.

Without it conditional writes of one row succeed twice, and a cancelled
transaction takes other clients' writes back. So one request at a time, of
DynamoDB and of S3.
"""

import sys
import threading

from moto.dynamodb.responses import DynamoHandler
from moto.s3.responses import S3Response
from moto.server import main

lock = threading.RLock()


def locked(method):
    def call(*args, **kwargs):
        with lock:
            return method(*args, **kwargs)

    return call


DynamoHandler.call_action = locked(DynamoHandler.call_action)
S3Response.ambiguous_response = locked(S3Response.ambiguous_response)
S3Response.bucket_response = locked(S3Response.bucket_response)
S3Response.key_response = locked(S3Response.key_response)

main(sys.argv[1:])
