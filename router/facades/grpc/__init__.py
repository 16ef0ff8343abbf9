"""The typed gRPC façade. Nothing outside this folder imports grpc or protobuf, and `listener` imports the rest late."""
