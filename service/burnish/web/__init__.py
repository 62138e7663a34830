"""Surface: the web: pages for people, and the interface for programs.

`app.create_app` builds the application; `server.serve` runs it. Each page is a module in `pages/`
with a router and its templates. Everything that a browser loads comes from `static/` and
`templates/`; there is no build step, and no request leaves the site.
"""
