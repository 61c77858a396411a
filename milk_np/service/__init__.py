"""A service over HTTP: what a page needs that is being drawn now."""
