"""Several processes on one port: a supervisor that loads no model, and workers that each are a whole gateway."""
