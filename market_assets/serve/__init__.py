"""The HTTP API: read-only answers over the store, and work that is started with a token.

`app` puts it together. A subject has its router in `routes`, all of them read the store through
`desk`, and what may be asked is in `parameters` and `models`. What cannot be answered becomes a
document in `problems`; who may ask at all is decided in `gate`. Dagster is asked over HTTP, through
`platform`. Nothing here writes to the store.
"""
