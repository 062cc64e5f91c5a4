// The checks as one CUDA program: nvcc compiles them with device memory where the emulated build has plain memory.
#include "gated_check.cc"
#include "lora_check.cc"
#include "main.cc"
#include "sampling_check.cc"
#include "sampling_reference.cc"
#include "sampling_run.cc"
#include "step_inputs_check.cc"
#include "world.cc"
