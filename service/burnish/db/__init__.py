"""Ground: the database (SQLite or PostgreSQL), in which the stages meet.

tables         the tables: instances, requests, File-sets, pieces, events, devices
session        the engine of a process; sessions that read, sessions that write
write_lock     whose turn it is to write to SQLite, and which errors mean that it does not answer
wakeup         how a process sleeps until there may be work for it
queue          the queue of pieces: claims and leases of the writers
history        the only place that changes the states of requests and pieces
devices        the last report of each device, and whether it is paused
instance_rows  a header as the columns of an instance's row, and back
received_rows  inserts the rows of received instances; `bulk` inserts many rows elsewhere
instance_records  the row of an instance as bytes, for its record in a segment
schema         the version of the schema, and upgrades to it
identity       which database belongs to the spool
backup         copies of the SQLite database
"""
