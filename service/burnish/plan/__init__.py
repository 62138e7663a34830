"""Stage: turns a request into File-sets that fit their volumes.

planner           plans one PENDING request, with its rows; `persist` reads and writes them
media_plan        the plan itself, without a database: volumes, or every reason against them
attempts          the variants of a plan, in the order of trying
profile_choice    which Application Profile and medium
eligibility       whether an instance may go on media of a profile
source_instances  the instances to be put on media, with their files
conversion        converts them into other transfer syntaxes; `icon_images` makes their icons
candidates        instances as they will be on media
grouping          by patient, study and series
packing           series onto volumes; `size_estimate` keeps the size of each volume
volumes           File IDs, and the size of each volume to the byte
"""
