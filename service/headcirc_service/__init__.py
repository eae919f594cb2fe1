"""The HTTP service around `headcirc`.

Imports run downwards only; `pyproject.toml` has the same picture as a contract::

    app                               builds everything from the settings, once
     |
    http                              routes, forms, problem documents, connections, the page
     |
    measuring                         runs the pipeline: analyses and explanations
     |
    admission | results | telemetry   queue and batches | the store | logs, metrics, spans
     |
    answers -> schemas                the bodies of JSON answers
     |
    errors | settings | allocator | lifecycle
"""
