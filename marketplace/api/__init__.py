"""HTTP: controllers that parse a call, ask one use case, and present its answer."""
