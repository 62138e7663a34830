"""Stage: Media Creation Requests, from their creation until they can be planned.

operations       create, initiate, cancel, retry, hold and release a request
changes          change priority, device, copies or label of a request; make it again, split it
bulk             one action on all requests that match a filter
standing_orders  requests that nobody asked for: created for the studies of a modality that can
                 only store; late images join their request, or get a supplement on media
admission        admits an initiated request once its instances have been received
fetch_missing    retrieves missing instances from archives before the request fails
query_retrieve   the Query/Retrieve SCU: one association with one archive
listing          requests as people see them: lists, and each in full; `views` are the values that
                 it hands out, `states` says why a request is in its state
instance_listing received instances as people see them
search           one box that finds studies and requests by whatever people have in hand
arrivals         what has come and is not on media; priors of a patient
matching         conditions that find studies by what people know of them
"""
