"""Ground: who may call and do what: TLS, peers, users, and how many at once."""
