"""Everything with a route for people and scripts: pages, the REST API, template tags."""
