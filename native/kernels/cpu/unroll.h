#pragma once

// Before a loop over a register tile: unless each such loop is unrolled, the compiler keeps the tile's sums in memory and stores them in every step (seen in
// GCC 12: half the speed).
#define LORIKEET_UNROLL _Pragma("GCC unroll 16")
