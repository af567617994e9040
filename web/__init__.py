"""The HTTP interface and the analysts' page: Starlette routes over the index, the alert store and the ingest topics."""
