"""Surface: the pages for people: one module with a router for each.

A page joins by its router in `ROUTERS` and, if it is to be found, its entry in `NAVIGATION`.
"""

from burnish.web.access import Permission
from burnish.web.pages import (
    archives,
    arrivals,
    bulk,
    devices,
    notices,
    now,
    peers,
    register,
    removals,
    requests,
    search,
    sign_in,
    system,
    users,
)
from burnish.web.rendering import NavigationEntry

ROUTERS = (
    now.router,
    arrivals.router,
    removals.router,
    archives.router,
    requests.router,
    devices.router,
    register.router,
    peers.router,
    bulk.router,
    search.router,
    system.router,
    notices.router,
    sign_in.router,
    users.router,
)
NAVIGATION = (
    NavigationEntry("now", "/", Permission.SEE),
    NavigationEntry("arrivals", "/arrivals", Permission.SEE_PATIENTS),
    NavigationEntry("requests", "/requests", Permission.SEE),
    NavigationEntry("devices", "/devices", Permission.SEE),
    NavigationEntry("register", "/register", Permission.SEE),
    NavigationEntry("peers", "/peers", Permission.SEE),
    NavigationEntry("system", "/system", Permission.ADMINISTER),
    NavigationEntry("users", "/users", Permission.ADMINISTER),
)
