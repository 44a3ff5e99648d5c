"""HTTP beside the pages: access, live series, vendored Plotly."""
