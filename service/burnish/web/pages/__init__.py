"""Surface: the pages for people: one module with a router for each.

A page joins by its router in `ROUTERS` and, if it is to be found, its entry in `NAVIGATION`.
"""

from burnish.web.access import Permission
from burnish.web.pages import now, requests, sign_in, users
from burnish.web.rendering import NavigationEntry

ROUTERS = (now.router, requests.router, sign_in.router, users.router)
NAVIGATION = (
    NavigationEntry("now", "/", Permission.SEE),
    NavigationEntry("requests", "/requests", Permission.SEE),
    NavigationEntry("users", "/users", Permission.ADMINISTER),
)
