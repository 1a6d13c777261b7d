"""A workbench for sales operations.

Data comes in through `sources`, lies in a `store` as immutable snapshots, and is read through a `workspace`:
``open_workspace(".").book(as_of="2026-09-30")`` is the company as it was known that day. `kpis` holds one
definition per metric; each domain (`benchmark`, `funnel`, `leadership`, `health`) is a folder with `analysis` and
`charts`; `report` renders the notebooks.
"""

__version__ = "0.1.0"
