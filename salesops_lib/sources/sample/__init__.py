"""A seeded sample company: a maker of industrial software whose whole sales history, and its truth, is known.

`simulate` draws the life of every deal to its end, `export` shows what the CRM held at an instant and `snapshots`
on each of many days, `truth` tells
the parameters behind the numbers, `batches` makes large books of deals in bounded memory.

Time is drawn in working days: position 812.5 is the middle of the office day of working day 812. Uniform draws
between two positions therefore fall into office hours, and positions order like the UTC instants they become.
Current rows are read off the simulated timelines, not replayed from the history table: the two can be checked
against each other.
"""

from salesops_lib.sources.sample.company import batches, export, simulate, snapshots, truth
from salesops_lib.sources.sample.model import Company
from salesops_lib.sources.sample.settings import SampleSettings

__all__ = ["Company", "SampleSettings", "batches", "export", "simulate", "snapshots", "truth"]
