"""Import jsonschema, which every notebook is read with, without the parser of internationalised addresses.

JupyterLab installs that parser, and jsonschema builds its grammar as it is imported: two seconds of processor time
in every process that opens a notebook, for a format that the schema of notebooks does not have.
"""

import sys

PARSER = "rfc3987_syntax"

if "jsonschema" not in sys.modules and PARSER not in sys.modules:
    sys.modules[PARSER] = None  # jsonschema takes this for one that is not installed
    import jsonschema  # noqa: F401

    del sys.modules[PARSER]
