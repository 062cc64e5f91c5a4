#pragma once

namespace lorikeet::test {

// sum_normed_rows against float64: both types, ranges of one row and of many, rows that no range has. `thorough`: widths of real models.
void check_row_sums(bool thorough);

}  // namespace lorikeet::test
