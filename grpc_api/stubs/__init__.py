"""Generated messages (`python protos/generate.py`). Nothing here is written by hand."""
