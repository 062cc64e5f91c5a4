"""The shapes and mixes of layer.h in Python, and the tensors that every yardstick and peer works on."""
from dataclasses import dataclass
from math import ceil, sqrt

import torch


@dataclass(frozen=True)
class Group:
    """Products that share their input."""
    name: str
    width: int
    outs: tuple


LAYER = (Group("qkv", 4096, (4096, 1024, 1024)), Group("o", 4096, (4096,)), Group("gateup", 4096, (14336, 14336)), Group("down", 14336, (4096,)))
TINY = (Group("qkv", 64, (64, 32, 32)), Group("o", 64, (64,)), Group("gateup", 64, (96, 96)), Group("down", 96, (64,)))


def mix(name, rows):
    """Rows of each adapter, as layer.h has them."""
    if name == "identical":
        return [rows]
    if name == "distinct":
        return [1] * rows
    if name == "uniform":
        n = ceil(sqrt(rows))
        return [rows * (i + 1) // n - rows * i // n for i in range(n)]
    if name == "skewed":
        runs = []
        while rows:
            runs.append((rows + 2) // 3)
            rows -= runs[-1]
        return runs
    raise ValueError(f"no mix is called {name}")


@dataclass(frozen=True)
class Case:
    rows: int
    rank: int
    mix: str

    def __str__(self):
        return f"{self.rows} rows, rank {self.rank}, {self.mix}"


class Work:
    """Inputs of one group: `sets` times as many adapters as a step has, so that steps in turn do not find their weights in the cache.

    x [rows, width]; y [rows, sum of outs]; for each product A [adapters, rank, width] and B [adapters, out, rank] (the layout of PEFT's files);
    set s uses adapters s*distinct to (s+1)*distinct.
    """

    def __init__(self, case, group, device, dtype, cache_bytes, most_bytes=8 << 30):
        self.case, self.group = case, group
        self.runs = mix(case.mix, case.rows)
        self.distinct = len(self.runs)
        one = self.distinct * case.rank * sum(group.width + out for out in group.outs) * dtype.itemsize
        self.sets = max(2, min(ceil(cache_bytes / one), most_bytes // one, 64))
        adapters = self.sets * self.distinct
        generator = torch.Generator(device=device).manual_seed(1)

        def draw(*shape, scale):
            return torch.empty(shape, device=device, dtype=dtype).uniform_(-scale, scale, generator=generator)

        self.a = [draw(adapters, case.rank, group.width, scale=group.width**-0.5) for _ in group.outs]
        self.b = [draw(adapters, out, case.rank, scale=case.rank**-0.5) for out in group.outs]
        self.x = draw(case.rows, group.width, scale=1)
        self.y = draw(case.rows, sum(group.outs), scale=1)
        self.row_adapter = torch.repeat_interleave(torch.arange(self.distinct, device=device), torch.tensor(self.runs, device=device))

    def adapters(self, step):
        """Slice of the stacked weights that set `step` uses."""
        return slice(step * self.distinct, (step + 1) * self.distinct)

    def slices(self):
        """Where each product's outputs lie in y."""
        at = 0
        for out in self.group.outs:
            yield slice(at, at + out)
            at += out

    def reference(self, step):
        """What y becomes, in float64, row by row."""
        y = self.y.double().clone()
        for t, adapter in enumerate(self.row_adapter.tolist()):
            for a, b, where in zip(self.a, self.b, self.slices()):
                i = step * self.distinct + adapter
                y[t, where] += b[i].double() @ (a[i].double() @ self.x[t].double())
        return y
