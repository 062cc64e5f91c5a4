"""What can be had without any LoRA kernel, in PyTorch on the same GPU. Each is built over a Work; step(i) adds set i's deltas to `y`."""
import torch


class Yardstick:
    def __init__(self, work):
        self.work = work
        self.y = work.y.clone()


class GatherBmm(Yardstick):
    """The weights of every row gathered, then two batched products: multi-LoRA without a kernel for it."""
    name = "gather+bmm"

    def step(self, i):
        w = self.work
        rows = w.row_adapter + i * w.distinct
        for a, b, where in zip(w.a, w.b, w.slices()):
            h = torch.bmm(a[rows], w.x.unsqueeze(2))
            self.y[:, where] += torch.bmm(b[rows], h).squeeze(2)


class Loop(Yardstick):
    """One adapter after the other, as PEFT does a mixed batch."""
    name = "loop (PEFT)"

    def step(self, i):
        w = self.work
        for a, b, where in zip(w.a, w.b, w.slices()):
            row = 0
            for adapter, rows in enumerate(w.runs, i * w.distinct):
                x = w.x[row:row + rows]
                self.y[row:row + rows, where] += (x @ a[adapter].t()) @ b[adapter].t()
                row += rows


def _delta(x, a, b, rows):
    h = (a[rows] * x.unsqueeze(1)).sum(2, dtype=torch.float32).to(x.dtype)
    return (b[rows] * h.unsqueeze(1)).sum(2, dtype=torch.float32).to(x.dtype)


class Compiled(Yardstick):
    """Products and sums written out for torch.compile, whose Triton kernels then read the weights where they are: a generated BGMV."""
    name = "torch.compile"

    def __init__(self, work):
        super().__init__(work)
        torch._dynamo.reset()  # past eight shapes it would fall back to eager without a word
        # Without a GPU only the formula is checked; a compiler for the CPU may not be there.
        self.delta = torch.compile(_delta, dynamic=False) if work.x.is_cuda else _delta

    def step(self, i):
        w = self.work
        rows = w.row_adapter + i * w.distinct
        for a, b, where in zip(w.a, w.b, w.slices()):
            self.y[:, where] += self.delta(w.x, a, b, rows)


YARDSTICKS = (GatherBmm, Loop, Compiled)
