// What native/kernels/cuda/device.cuh takes from whoever compiles the kernels without nvcc: here every thread of a block is a fiber.
#pragma once
#include "emulator.h"
