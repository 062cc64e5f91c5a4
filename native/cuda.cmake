# CUDA, where nvcc is found: the kernels as a static library `cuda_kernels`. Included by CMakeLists.txt.
set(CUDA_HERE ${CMAKE_CURRENT_LIST_DIR})
file(GLOB CUDA_KERNELS CONFIGURE_DEPENDS ${CUDA_HERE}/kernels/cuda/*.cu)
file(GLOB CUDA_HOST CONFIGURE_DEPENDS ${CUDA_HERE}/kernels/cuda/*.cc)

option(LORIKEET_CUDA "Build the CUDA kernels where nvcc is found" ON)
find_program(LORIKEET_NVCC nvcc HINTS /usr/local/cuda/bin)
if(LORIKEET_CUDA AND LORIKEET_NVCC AND NOT LORIKEET_SANITIZE)  # nvcc does not know the sanitizers; test/cuda runs the kernels under them as C++
  set(CMAKE_CUDA_COMPILER ${LORIKEET_NVCC})
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80 90a-real)  # newer ones compile the PTX of 80 when they load it
  endif()
  enable_language(CUDA)
  find_package(CUDAToolkit REQUIRED)
  add_library(cuda_kernels STATIC EXCLUDE_FROM_ALL ${CUDA_KERNELS} ${CUDA_HOST})
  set_target_properties(cuda_kernels PROPERTIES CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON POSITION_INDEPENDENT_CODE ON)
  # In place of the directory's warnings, which nvcc does not know.
  set_property(TARGET cuda_kernels PROPERTY COMPILE_OPTIONS $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall>)
endif()

include(${CUDA_HERE}/../test/cuda/checks.cmake OPTIONAL)  # an image is built without tests
