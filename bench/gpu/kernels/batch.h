// What one measurement launches: the plans of several steps that differ in their adapters only, so that no step finds its weights in the cache, and the
// buffers that all of them share (the model's activations were just written in the real case, too).
#pragma once
#include "pool.h"

namespace lorikeet::bench {

class Batch {
 public:
  // `sets` steps of these rows, each with the next adapters of the pool. `wide`: prefill.
  Batch(const Pool& pool, const std::vector<Run>& runs, bool wide, int32_t sets, DType type, const std::vector<Group>& groups = layer())
      : pool_(pool), runs_(runs), sets_(sets), groups_(groups) {
    for (const Run& run : runs) rows_ += run.rows;
    std::vector<uint8_t> all;
    std::vector<size_t> at;
    std::vector<cuda::LoraPlan> plans;
    int32_t blocks = 0;
    for (int32_t i = 0; i < pool.adapters(); i++) blocks = std::max(blocks, pool.shape(i).rank_blocks);
    for (int32_t set = 0; set < sets; set++) {
      plans.emplace_back(cuda::plan_capacity(rows_, 1, std::max(blocks, 1)));
      build(plans.back(), set, wide);
      at.push_back(all.size());
      all.insert(all.end(), plans.back().data(), plans.back().data() + plans.back().bytes());
      all.resize((all.size() + 255) / 256 * 256);
      counts_.push_back(plans.back().counts());
      h_rows_ = std::max(h_rows_, counts_.back().h_rows);
    }
    upload_ = std::make_unique<OnDevice<uint8_t>>(all);
    for (int32_t set = 0; set < sets; set++) {
      steps_.push_back(pool.step());
      steps_.back().plan = plans[set].view(upload_->data() + at[set]);
    }
    size_t scratch = 0;
    for (const Group& group : groups_) {
      x_.push_back(random(size_t(rows_) * group.in, type));
      for (const int32_t out : group.outs) y_.push_back(random(size_t(rows_) * out, type));
      scratch = std::max(scratch, cuda::lora_scratch_bytes(group.in, static_cast<int32_t>(group.outs.size()), h_rows_));
    }
    h_ = std::make_unique<OnDevice<float>>(scratch / sizeof(float) + 4);
    randomize(h_->data(), scratch, DType::bf16);  // for the expand alone: pairs of bfloat16 are finite floats
  }

  int32_t rows() const { return rows_; }
  int32_t sets() const { return sets_; }
  int32_t adapter(int32_t set, const Run& run) const { return static_cast<int32_t>((int64_t(set) * runs_.size() + run.adapter) % pool_.adapters()); }
  const cuda::AdapterStep& step(int32_t set) const { return steps_[set]; }
  const cuda::PlanCounts& counts(int32_t set) const { return counts_[set]; }
  cuda::LoraOp op(size_t group) const {
    cuda::LoraOp op;
    const Group& shape = groups_[group];
    op.x = x_[group]->data();
    op.in = shape.in;
    op.products = static_cast<int32_t>(shape.outs.size());
    size_t first = 0;
    for (size_t g = 0; g < group; g++) first += groups_[g].outs.size();
    for (int32_t p = 0; p < op.products; p++) {
      op.y[p] = y_[first + p]->data();
      op.out[p] = shape.outs[p];
      op.site[p] = shape.first_site + p;
    }
    op.h = h_->data();
    op.h_rows = h_rows_;
    return op;
  }

 private:
  void build(cuda::LoraPlan& plan, int32_t set, bool wide) {
    std::vector<int32_t> starts{0}, entries{0};
    std::vector<const uint8_t*> tables;
    std::vector<const cuda::AdapterShape*> shapes;
    for (const Run& run : runs_) {
      starts.push_back(starts.back() + run.rows);
      tables.push_back(pool_.tables(adapter(set, run)));
      shapes.push_back(&pool_.shape(adapter(set, run)));
      entries.push_back(static_cast<int32_t>(tables.size()));
    }
    const std::vector<float> weights(tables.size(), 1.f);
    cuda::PlanInput input;
    input.segment_starts = starts.data();
    input.segment_entries = entries.data();
    input.segments = static_cast<int32_t>(runs_.size());
    input.entry_tables = tables.data();
    input.entry_weight = weights.data();
    input.entry_shape = shapes.data();
    if (!plan.build(input, wide)) throw std::logic_error("the plan does not fit");
  }
  static std::unique_ptr<OnDevice<uint16_t>> random(size_t count, DType type) {
    auto made = std::make_unique<OnDevice<uint16_t>>((count + 1) / 2 * 2);
    randomize(made->data(), (count + 1) / 2 * 4, type);
    return made;
  }

  const Pool& pool_;
  std::vector<Run> runs_;
  int32_t sets_, rows_ = 0, h_rows_ = 0;
  std::vector<Group> groups_;
  std::unique_ptr<OnDevice<uint8_t>> upload_;
  std::vector<cuda::AdapterStep> steps_;
  std::vector<cuda::PlanCounts> counts_;
  std::vector<std::unique_ptr<OnDevice<uint16_t>>> x_, y_;
  std::unique_ptr<OnDevice<float>> h_;
};

}  // namespace lorikeet::bench
