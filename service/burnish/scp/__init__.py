"""Surface: the DICOM network. It translates associations and messages into calls on the stages.

A connection goes through these modules from top to bottom:

ae                  listens, accepts connections, and finds the service of each message
upper_layer         serves one association; `stream` holds the bytes of its connection
negotiation         accepts or rejects an association and each of its presentation contexts;
                    `associate_pdus` are the PDUs, `user_identity` the user that a peer names
messages            command sets and P-DATA-TF PDUs
storage             C-STORE
media_creation      N-CREATE, N-ACTION and N-GET of Media Creation Management;
                    `attributes` and `references` read and write the data sets
storage_commitment  N-ACTION of Storage Commitment; `pending_reports` sends its report on the same
                    association, `event_reports` on a new one
dimse_n             what the DIMSE-N services share
statuses            the status of every error, for C-STORE and for DIMSE-N
"""
