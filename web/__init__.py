"""Everything with a route for people and scripts: the pages and the REST API."""
