#!/usr/bin/env python3
"""Writes tests/vectors/allocate.h: the least losses of 200 allocations of 10 to 60 layers, by CP-SAT, a solver of another kind.

    allocate.py [FILE]

Needs ortools from PyPI. Costs and losses are whole numbers made by llmq_random, which the test makes again: the header holds a
seed and the optimum of each, which CP-SAT has proven. Kinds, by seed % 4: unrelated costs and losses; sizes of layers times bits;
few different values, so that there are many ties; losses that are nearly the cost that is saved.
A seed for which it has no proof after ALLOCATE_SECONDS, by default 15, is left out: which ones these are depends on the machine.
"""
import os
import sys

from ortools.sat.python import cp_model

from bundle import random32 as random

HERE = os.path.dirname(os.path.abspath(__file__))
COUNT = int(os.environ.get("ALLOCATE_COUNT", "200"))


class Draw:
    def __init__(self, seed):
        self.seed, self.counter = seed, 0

    def __call__(self, n):
        self.counter += 1
        return random(self.seed, self.counter - 1) * n >> 32


def instance(seed):
    """[[(cost, loss), ...], ...], budget"""
    draw, kind = Draw(seed), seed % 4
    layers = []
    for _ in range(10 + draw(51)):
        n, size, weight = 3 + draw(10), 1 + draw(1000), 1 + draw(1000)
        layer = []
        for i in range(n):
            if kind == 0:
                cost, loss = draw(10000001), draw(1000001)
            elif kind == 1:
                cost, loss = size * (800 * (i + 1) + draw(100)), weight * 4096 // ((i + 1) * (i + 1)) + draw(16)
            elif kind == 2:
                cost, loss = 1000 * draw(101), draw(101)
            else:
                cost = draw(10000001)
                loss = 10000000 - cost + draw(100001)
            layer.append((cost, loss))
        layers.append(layer)
    least, most = (sum(f(c for c, _ in layer) for layer in layers) for f in (min, max))
    return layers, least + (most - least) * (1 + draw(254)) // 256


def optimum(layers, budget):
    """The solver, with a solution that it has proven to be the best; None if it has none."""
    model = cp_model.CpModel()
    cost, loss = [], []
    for layer in layers:
        take = [model.new_bool_var("") for _ in layer]
        model.add_exactly_one(take)
        cost += [c * t for (c, _), t in zip(layer, take)]
        loss += [v * t for (_, v), t in zip(layer, take)]
    model.add(sum(cost) <= budget)
    model.minimize(sum(loss))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 2
    solver.parameters.random_seed = 1
    solver.parameters.max_time_in_seconds = float(os.environ.get("ALLOCATE_SECONDS", "15"))
    return solver if solver.solve(model) == cp_model.OPTIMAL else None


def chosen(solver, layers):
    """The place of the option taken of each layer; variables are numbered in the order they were made."""
    solution, at, places = solver.response_proto.solution, 0, []
    for layer in layers:
        places.append([i for i in range(len(layer)) if solution[at + i]][0])
        at += len(layer)
    return places


def main():
    found, seed = [], 0
    while len(found) < COUNT:
        layers, budget = instance(seed)
        solver = optimum(layers, budget)
        if solver is None:
            print("no proof for seed %d" % seed, file=sys.stderr)
        else:
            places = chosen(solver, layers)
            best = sum(layer[p][1] for layer, p in zip(layers, places))
            assert sum(layer[p][0] for layer, p in zip(layers, places)) <= budget
            assert best == round(solver.objective_value) == round(solver.best_objective_bound)
            found.append((seed, best))
        seed += 1
    path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "vectors", "allocate.h")
    with open(path, "w") as f:
        f.write("/* allocate.h - least losses of allocations, proven by CP-SAT; made by tests/gen/allocate.py */\n")
        f.write("static const struct { uint32_t seed, loss; } allocate_optima[%d] = {\n" % len(found))
        for i in range(0, len(found), 8):
            f.write("    %s,\n" % ", ".join("{ %d, %d }" % s for s in found[i:i + 8]))
        f.write("};\n")


if __name__ == "__main__":
    main()
