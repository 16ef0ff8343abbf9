"""What tests stand on: fakes of the world outside the router."""
