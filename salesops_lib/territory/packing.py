"""A plan that fits where demand fills nearly all capacity: bin packing by constraint programming."""

from __future__ import annotations

import numpy as np

UNITS = 10**6
CHOICES = (6, 15, None)  # nearest bases a point may go to, then any


def pack(d, demand, cap, centre, limit_s: float) -> tuple[np.ndarray | None, bool]:
    """Fit points into bases at little distance.

    Returns
    -------
    assign, proven
        Base of every point, or None; and, for None, whether there is proof that nothing fits.
    """
    from ortools.sat.python import cp_model

    exact = bool(np.all(demand == np.round(demand)))
    scale = 1 if exact else UNITS / max(cap.max(), 1e-12)
    size, room = np.ceil(demand * scale - 1e-9).astype(int), np.floor(cap[centre] * scale + 1e-9).astype(int)
    far = d[:, centre]
    unit = 1_000 / max(float(np.median(far)), 1e-12)
    status = None
    for k in CHOICES:
        model, chosen = cp_model.CpModel(), {}
        near = np.argsort(far, axis=1, kind="stable")[:, : k or len(centre)]
        for i, bins in enumerate(near):
            for j in bins:
                chosen[i, int(j)] = model.new_bool_var("")
            model.add_exactly_one(chosen[i, int(j)] for j in bins)
        for j in range(len(centre)):
            model.add(sum(size[i] * var for (i, b), var in chosen.items() if b == j) <= room[j])
        model.minimize(sum(int(far[i, j] * unit) * var for (i, j), var in chosen.items()))
        solver = cp_model.CpSolver()
        solver.parameters.max_time_in_seconds = limit_s / len(CHOICES)
        solver.parameters.num_workers, solver.parameters.random_seed = 1, 1
        status = solver.solve(model)
        if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            assign = np.zeros(len(d), dtype=np.int64)
            for (i, j), var in chosen.items():
                if solver.boolean_value(var):
                    assign[i] = j
            return assign, False
    return None, exact and len(set(cap)) == 1 and status == cp_model.INFEASIBLE
