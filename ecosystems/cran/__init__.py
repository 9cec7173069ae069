"""CRAN-like repositories: PACKAGES, RDS files and versions, as R's manuals define them."""
