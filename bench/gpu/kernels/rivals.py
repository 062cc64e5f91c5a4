"""LoRA kernels of other servers, where their packages are installed; none is measured by other means. Each is built over a Work, raises ImportError
where it is not at hand and NotImplementedError for shapes it has no kernel for; step(i) adds set i's deltas to `y`."""
import inspect

import torch


def _known(function, **values):
    """Keeps the arguments that this version of `function` has."""
    names = inspect.signature(function).parameters
    return {name: value for name, value in values.items() if name in names}


class Vllm:
    """vllm.lora.ops.triton_ops: lora_shrink, lora_expand over LoRAKernelMeta (0.8 and later; later versions name the active adapters' count as well)."""
    name = "vLLM"

    def __init__(self, work):
        from vllm.lora.ops.triton_ops import LoRAKernelMeta, lora_expand, lora_shrink, utils
        for cache in ("_LORA_A_PTR_DICT", "_LORA_B_PTR_DICT"):  # strides by address, which outlive the tensors
            getattr(utils, cache, {}).clear()
        self.shrink, self.expand = lora_shrink, lora_expand
        self.work, self.y = work, work.y.clone()
        rows = work.case.rows
        self.h = torch.empty((len(work.a), rows, work.case.rank), dtype=torch.float32, device=work.x.device)
        self.meta = LoRAKernelMeta.make(work.distinct, rows, device=work.x.device)
        self.meta.prepare_tensors(work.row_adapter.to(torch.int32))
        try:
            self.arguments = self.meta.meta_args(rows)
        except TypeError:
            self.arguments = self.meta.meta_args(rows, False)  # whether to specialize for the number of active adapters

    def step(self, i):
        w, of = self.work, self.work.adapters(i)
        self.shrink(w.x, [a[of] for a in w.a], self.h, *self.arguments, 1.0)
        self.expand(self.h, [b[of] for b in w.b], self.y, *self.arguments, offset_start=0, add_inputs=True)


class Sglang:
    """sglang.srt.lora.triton_ops: sgemm_lora_a, and the b of each group (qkv, gate and up, one product)."""
    name = "SGLang"

    def __init__(self, work):
        from sglang.srt.lora import triton_ops
        from sglang.srt.lora.utils import LoRABatchInfo
        self.ops, self.work, self.y = triton_ops, work, work.y.clone()
        device, segments = work.x.device, work.distinct
        lengths = torch.tensor(work.runs, dtype=torch.int32, device=device)
        starts = torch.zeros(segments + 1, dtype=torch.int32, device=device)
        starts[1:] = torch.cumsum(lengths, 0)
        self.info = LoRABatchInfo(**_known(
            LoRABatchInfo, use_cuda_graph=True, bs=segments, num_segments=segments, max_len=max(work.runs), seg_lens=lengths, seg_indptr=starts,
            weight_indices=torch.arange(segments, dtype=torch.int32, device=device),
            lora_ranks=torch.full((segments,), work.case.rank, dtype=torch.int32, device=device),
            scalings=torch.ones(segments, dtype=torch.float32, device=device), permutation=None))
        self.a = torch.cat(work.a, 1)
        self.b = torch.cat(work.b, 1)
        offsets = [0]
        for out in work.group.outs:
            offsets.append(offsets[-1] + out)
        self.offsets = torch.tensor(offsets, dtype=torch.int32, device=device)

    def step(self, i):
        w, of, ops = self.work, self.work.adapters(i), self.ops
        h = ops.sgemm_lora_a_fwd(w.x, self.a[of], self.info, **_known(ops.sgemm_lora_a_fwd, stack_num=len(w.a)))
        b = self.b[of]
        if len(w.a) == 3:
            ops.qkv_lora_b_fwd(h, b, self.info, self.offsets, max(w.group.outs), self.y)
        elif len(w.a) == 2:
            ops.gate_up_lora_b_fwd(h, b, self.info, w.group.outs[0], self.y)
        else:
            ops.sgemm_lora_b_fwd(h, b, self.info, self.y)


class Punica:
    """punica.ops.add_lora_bgmv, one call a product; its kernels are compiled for a list of widths."""
    name = "Punica BGMV"

    def __init__(self, work):
        from punica.ops import add_lora_bgmv
        self.add, self.work = add_lora_bgmv, work
        if work.x.dtype not in (torch.float16, torch.bfloat16):
            raise NotImplementedError("float16 or bfloat16 alone")
        self.parts = [work.y[:, where].clone(memory_format=torch.contiguous_format) for where in work.slices()]
        self.a = [a.unsqueeze(1) for a in work.a]
        self.b = [b.unsqueeze(1) for b in work.b]
        self.rows = work.row_adapter.to(torch.int64)

    @property
    def y(self):
        return torch.cat(self.parts, 1)

    def step(self, i):
        rows = self.rows + i * self.work.distinct
        for y, a, b in zip(self.parts, self.a, self.b):
            self.add(y, self.work.x, a, b, rows, 0, 1.0)


class Slora:
    """slora._kernels.dispatch_bgmv over its pool of rows; q, k, v and o of one width, so here only the square product o."""
    name = "S-LoRA BGMV"

    def __init__(self, work):
        from slora._kernels import dispatch_bgmv
        (out, *more), width, rank = work.group.outs, work.group.width, work.case.rank
        if more or out != width:
            raise NotImplementedError("square products alone")
        if work.x.dtype != torch.float16:
            raise NotImplementedError("float16 alone")
        self.bgmv, self.work, self.y = dispatch_bgmv, work, work.y.clone()
        # An adapter has 4 × rank rows of `width`: q, k, v, o. Only the first quarter is used here. B lies as [width, rank] in as many elements.
        adapters = work.sets * work.distinct
        heads = (-1, 32, width // 32)
        self.keys = torch.zeros((adapters, 4, rank, width), dtype=work.x.dtype, device=work.x.device)
        self.values = torch.zeros_like(self.keys)
        self.keys[:, 0] = work.a[0]
        self.values[:, 0] = work.b[0].reshape(adapters, rank, width)
        self.keys, self.values = self.keys.view(heads), self.values.view(heads)
        whole = dict(dtype=torch.long, device=work.x.device)
        self.length = torch.full((adapters,), 4 * rank, **whole)
        self.start = torch.arange(adapters, **whole) * 4 * rank
        self.place = torch.arange(adapters * 4 * rank, **whole)
        self.scaling = torch.ones(adapters, dtype=work.x.dtype, device=work.x.device)
        self.rows = work.row_adapter.to(torch.int64)
        self.h = torch.empty((work.case.rows, rank), dtype=work.x.dtype, device=work.x.device)

    def step(self, i):
        rows = self.rows + i * self.work.distinct
        self.h.zero_()
        self.bgmv(self.h, self.work.x, self.keys, self.start, self.length, self.place, rows, 0, self.scaling)
        self.bgmv(self.y, self.h, self.values, self.start, self.length, self.place, rows, 0, self.scaling)


RIVALS = (Vllm, Sglang, Punica, Slora)
