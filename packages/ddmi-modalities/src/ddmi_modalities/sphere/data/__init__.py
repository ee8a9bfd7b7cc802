"""Where functions on the sphere come from."""
