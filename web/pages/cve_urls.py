"""URLs of the pages about advisories."""

from __future__ import annotations

from django.urls import path

from web.pages import advisory, advisory_data, cves

urlpatterns = [
    path("cves/", cves.all_cves, name="cves"),
    # Before the advisories: any other text is an id.
    path("cves/data/", advisory_data.data, name="cve-data"),
    path("cves/data/import/", advisory_data.import_file, name="cve-import"),
    path("cves/data/refresh/", advisory_data.refresh, name="cve-refresh"),
    path("cves/data/advisories.zip", advisory_data.export, name="cve-bundle"),
    path("cves/data/mapping/", advisory_data.map_name, name="cve-map"),
    path("cves/data/mapping/<str:conda_name>/", advisory_data.unmap_name, name="cve-unmap"),
    path("cves/<str:id>/", advisory.advisory, name="cve"),
    path("cves/<str:id>/downloads/", advisory.downloads, name="cve-downloads"),
    path("cves/<str:id>/decisions/<int:number>/", advisory.withdraw, name="cve-withdraw"),
]
