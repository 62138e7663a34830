"""Stage: receives instances, durably or not at all, and brings their rows into the database.

receiver   the receive path of a process: an instance counts once it is in the spool
incoming   one instance while it arrives, in memory or in a file
own_file   the file of an instance that is too large for memory
origin     what instances have in common that come one after the other from one peer
buffers    the memory of instances that arrive
indexer    follows the segments of its process, and inserts the rows of what was received
replay     inserts the rows that a process which has died did not
following  whether all that was acknowledged has its row
"""

from burnish.receive.incoming import Incoming
from burnish.receive.origin import Origin
from burnish.receive.receiver import Receiver

__all__ = ["Incoming", "Origin", "Receiver"]
