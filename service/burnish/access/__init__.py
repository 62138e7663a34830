"""Ground: which peers and users may associate, how many at once, and TLS in both directions."""
