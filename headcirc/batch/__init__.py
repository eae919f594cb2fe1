"""Files and folders to rows: tables, resuming, a remote service, Ray."""
