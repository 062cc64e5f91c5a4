# CUDA, where nvcc is found: the kernels as a static library `cuda_kernels` and their checker `cuda-check`. Included by CMakeLists.txt.
# Without nvcc only the emulated checks remain: the same kernel sources as C++, on test/cuda's emulator.
set(CUDA_HERE ${CMAKE_CURRENT_LIST_DIR})
file(GLOB CUDA_KERNELS CONFIGURE_DEPENDS ${CUDA_HERE}/kernels/cuda/*.cu)
file(GLOB CUDA_HOST CONFIGURE_DEPENDS ${CUDA_HERE}/kernels/cuda/*.cc)

option(LORIKEET_CUDA "Build the CUDA kernels where nvcc is found" ON)
find_program(LORIKEET_NVCC nvcc HINTS /usr/local/cuda/bin)
if(LORIKEET_CUDA AND LORIKEET_NVCC AND NOT LORIKEET_SANITIZE)  # nvcc does not know the sanitizers; the emulated kernels run under them
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

# The checks. An image is built without tests.
if(NOT EXISTS ${CUDA_HERE}/../test/cuda)
  return()
endif()
if(TARGET cuda_kernels)
  add_executable(cuda-check EXCLUDE_FROM_ALL ${CUDA_HERE}/../test/cuda/check.cu)
  set_target_properties(cuda-check PROPERTIES CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON
                        COMPILE_OPTIONS $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall>)
  target_include_directories(cuda-check PRIVATE ${CUDA_HERE})
  target_link_libraries(cuda-check PRIVATE cuda_kernels)
endif()

enable_testing()
file(GLOB EMULATED CONFIGURE_DEPENDS ${CUDA_HERE}/../test/cuda/*.cc ${CUDA_HERE}/../test/cuda/emulated/*.cc)
list(FILTER EMULATED EXCLUDE REGEX "ort_ops\\.cc$")  # of the addon alone: it needs ONNX Runtime
add_executable(cuda-emulated EXCLUDE_FROM_ALL ${EMULATED})
add_library(cuda_emulated_kernels STATIC EXCLUDE_FROM_ALL)
foreach(source ${CUDA_KERNELS})
  # The same source under another name and language, so that the CUDA library above keeps its own.
  get_filename_component(stem ${source} NAME_WE)
  file(GENERATE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/emulated/${stem}.cc CONTENT "#include \"${source}\"\n")
  target_sources(cuda_emulated_kernels PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/emulated/${stem}.cc)
endforeach()
target_sources(cuda_emulated_kernels PRIVATE ${CUDA_HOST})
foreach(target cuda-emulated cuda_emulated_kernels)
  target_include_directories(${target} PRIVATE ${CUDA_HERE} ${CUDA_HERE}/kernels/cuda ${CUDA_HERE}/../test/cuda)
  target_compile_options(${target} PRIVATE -Wno-unknown-pragmas -Wno-clobbered)
endforeach()
target_link_libraries(cuda-emulated PRIVATE cuda_emulated_kernels Threads::Threads)
add_test(NAME cuda-emulated COMMAND cuda-emulated)

# The addon with its CUDA engine on the emulator (test/cuda/emulated): `node native/build.mjs --target lorikeet-emulated` makes build/emulated/lorikeet.node.
if(NODE_API_INCLUDE)
  file(GLOB EMULATED_ADDON CONFIGURE_DEPENDS ${CUDA_HERE}/napi/*.cc ${CUDA_HERE}/engine/*.cc ${CUDA_HERE}/fold/*.cc ${CUDA_HERE}/ops/*.cc ${CUDA_HERE}/pool/*.cc ${CUDA_HERE}/ort/*.cc
       ${CUDA_HERE}/numeric/*.cc
       ${CUDA_HERE}/engine/cuda/*.cc ${CUDA_HERE}/ops/cuda/*.cc ${CUDA_HERE}/pool/cuda/*.cc ${CUDA_HERE}/../test/cuda/emulated/*.cc)
  list(REMOVE_ITEM EMULATED_ADDON ${CUDA_HERE}/ops/cuda/device_domains.cc)
  add_library(lorikeet-emulated MODULE EXCLUDE_FROM_ALL ${EMULATED_ADDON} ${CUDA_HERE}/../test/cuda/emulator.cc ${CUDA_HERE}/../test/cuda/fiber.cc)
  set_target_properties(lorikeet-emulated PROPERTIES PREFIX "" OUTPUT_NAME lorikeet SUFFIX ".node"
                        LIBRARY_OUTPUT_DIRECTORY ${CUDA_HERE}/../build/emulated)
  target_include_directories(lorikeet-emulated SYSTEM PRIVATE ${CUDA_HERE}/third_party/onnxruntime ${NODE_API_INCLUDE})
  target_include_directories(lorikeet-emulated PRIVATE ${CUDA_HERE})
  target_compile_definitions(lorikeet-emulated PRIVATE LORIKEET_WITH_CUDA NAPI_VERSION=8 NODE_ADDON_API_CPP_EXCEPTIONS NODE_ADDON_API_CPP_EXCEPTIONS_ALL
                             NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS)
  target_link_libraries(lorikeet-emulated PRIVATE cuda_emulated_kernels kernels Threads::Threads ${CMAKE_DL_LIBS})
endif()
