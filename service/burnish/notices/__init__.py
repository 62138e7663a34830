"""Stage: what people are told of: from the state of the service to rows, and from there to them.

`conditions` looks at requests, devices and the disk. `deciding` moves the notices accordingly, in
one transaction. `outbox` puts messages together and keeps the record of them, `sender` sends them.
`listing` shows all of it. This stage stands above the others: it reads what they say of their work.
"""
