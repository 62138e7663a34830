"""Ground: who may associate with Burnish, and how Burnish associates with others.

peers                  what each peer is permitted, from which address and with which certificate
users                  the users that peers may name, and their passcodes
association_limits     how many associations there may be at once
log_throttle           warnings about peers that cannot flood the log
tls                    TLS in both directions
outgoing_associations  associations that Burnish requests
"""
