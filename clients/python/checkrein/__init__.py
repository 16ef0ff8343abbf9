"""Python stubs of the gRPC API: `checkrein.v1` for calls, `checkrein.admin.v1` for administration."""
