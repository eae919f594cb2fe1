"""HTTP: routes, forms, problem documents, middleware, connections and the web page."""
